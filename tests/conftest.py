"""For every pytest file below: a skipped test is a failed one. What is not tested is to be known, not to be green."""

import pytest


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and none may be: {report.longrepr}"
