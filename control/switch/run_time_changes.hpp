// RunTimeChanges: the rules and ports that were added, replaced and deleted while the switch ran, in memory that
// outlives a worker (keeper/change_log.hpp), so that the next one is as this one was. Control thread.
//
// There is one Change for each rule (priority and match) and each port (name) that is not as in the configuration: what
// the configuration had there, and what there is instead. A later change of the same replaces it, and one that leads
// back to the configuration takes it away: so there are never more than there is to say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control/error.hpp"
#include "control/keeper/change_log.hpp"

namespace sluice::control {

struct Change {
  enum class Kind : std::uint8_t { rule, port };
  Kind kind = Kind::rule;
  std::string key;                 ///< a rule's priority and match (rule_key()), a port's name
  std::optional<std::string> was;  ///< in the configuration: a rule's text, a port's settings; nothing: not there
  std::optional<std::string> now;  ///< a rule's text, a port's as `sluice port add` had it; nothing: deleted
  bool anew = false;               ///< deleted and added again: the last of the rules of its priority

  bool operator==(const Change&) const = default;
};

/// "rule 'priority=5,tcp actions=drop', which was added while the switch ran"
[[nodiscard]] std::string describe(const Change& change);

class RunTimeChanges {
 public:
  explicit RunTimeChanges(ChangeLogMemory& memory) : log_(memory) {}

  /// As a worker before us has noted them, or is about to: when mark() has changed there may be more.
  void read();
  [[nodiscard]] ChangeLog::Mark mark() const { return log_.mark(); }
  /// In the order in which they were made first.
  [[nodiscard]] const std::vector<Change>& all() const { return changes_; }

  /// `was`: what the configuration has there. An error if there is no room for it, and nothing is noted then.
  [[nodiscard]] Expected<void> note(Change::Kind kind, const std::string& key, std::optional<std::string> was,
                                    std::optional<std::string> now);
  /// These are all of rules, but for those that stand no more.
  [[nodiscard]] Expected<void> replace_rules(const std::vector<Change>& changes);
  /// Only `standing`, which are in the order of all, still change something of the configuration. The others stay until
  /// forget_fallen(), since a worker with the configuration of before may follow; and for good, if they are noted again
  /// before that.
  void stand_only(const std::vector<Change>& standing);
  /// One more that does not.
  void fell(Change::Kind kind, const std::string& key) { fallen_.emplace(kind, key); }
  [[nodiscard]] Expected<void> forget_fallen();

 private:
  using KindAndKey = std::pair<Change::Kind, std::string>;

  void enter(Change change);
  [[nodiscard]] Expected<void> replace(std::vector<Change> changes);
  [[nodiscard]] Expected<void> write(const Change& change);

  ChangeLog log_;
  std::vector<Change> changes_;
  std::set<KindAndKey> fallen_;  ///< of these
  std::size_t written_ = 0;      ///< texts in the log, those of no interest any more included
};

}  // namespace sluice::control
