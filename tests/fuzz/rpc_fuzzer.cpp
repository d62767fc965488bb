// Any bytes as a message to the control socket: each is answered exactly once, with a line of JSON, whatever it is.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/rpc/dispatcher.hpp"
#include "control/rpc/switch_methods.hpp"
#include "tests/unit/rpc/sample_operations.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using sluice::control::Json;
  static const auto asked = std::make_shared<std::vector<std::string>>();
  static const sluice::control::RpcDispatcher dispatcher(
      sluice::control::switch_methods(sluice::control::sample_operations(asked)));
  asked->clear();

  const std::string_view line(reinterpret_cast<const char*>(data), size);
  int answers = 0;
  dispatcher.handle(line, [&](const std::string& answer) {
    ++answers;
    if (answer.empty()) return;
    if (answer.find('\n') != std::string::npos) std::abort();
    const Json response = Json::parse(answer);
    const Json first = response.is_array() ? response.at(0) : response;
    if (first.at("jsonrpc") != "2.0" || first.contains("result") == first.contains("error")) std::abort();
  });
  if (answers != 1) std::abort();
  return 0;
}
