#include "control/switch/run_time_changes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

namespace sluice::control {
namespace {

using Json = nlohmann::json;

/// Texts in the log that are of no interest any more, beyond as many as are: then it is written anew.
constexpr std::size_t kMostStale = 1000;

std::string text_of(const Change& change) {
  Json json{{"kind", change.kind == Change::Kind::rule ? "rule" : "port"}, {"key", change.key}};
  if (change.was) json["was"] = *change.was;
  if (change.now) json["now"] = *change.now;
  if (change.anew) json["anew"] = true;
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<Change> change_of(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return {};
  const auto word = [&](const char* name) {
    const auto found = json.find(name);
    return found != json.end() && found->is_string() ? std::optional(found->get<std::string>()) : std::nullopt;
  };
  const auto kind = word("kind");
  const auto key = word("key");
  if (!kind || !key) return {};
  return Change{*kind == "rule" ? Change::Kind::rule : Change::Kind::port, *key, word("was"), word("now"),
                json.contains("anew")};
}

bool same(const Change& a, const Change& b) { return a.kind == b.kind && a.key == b.key; }

/// Nothing is other than in the configuration.
bool is_none(const Change& change) { return change.was == change.now && !change.anew; }

}  // namespace

std::string describe(const Change& change) {
  const char* const done = !change.now ? "deleted" : change.was ? "replaced" : "added";
  if (change.kind == Change::Kind::port) {
    return fmt::format("port '{}', which was {} while the switch ran", change.key, done);
  }
  return fmt::format("rule '{}', which was {} while the switch ran",
                     change.now   ? *change.now
                     : change.was ? *change.was
                                  : change.key,
                     done);
}

void RunTimeChanges::read() {
  changes_.clear();
  fallen_.clear();
  const auto texts = log_.read();
  written_ = texts.size();
  for (const std::string& text : texts) {
    if (auto change = change_of(text)) enter(std::move(*change));
  }
}

void RunTimeChanges::enter(Change change) {
  const auto before = std::ranges::find_if(changes_, [&](const Change& other) { return same(other, change); });
  // One that was deleted is the last when it comes again.
  const bool stays = before != changes_.end() && before->anew == change.anew && before->now.has_value();
  if (stays && !is_none(change)) {
    *before = std::move(change);
    return;
  }
  if (before != changes_.end()) changes_.erase(before);
  if (!is_none(change)) changes_.push_back(std::move(change));
}

Expected<void> RunTimeChanges::note(Change::Kind kind, const std::string& key, std::optional<std::string> was,
                                    std::optional<std::string> now) {
  Change change{kind, key, std::move(was), std::move(now), false};
  const auto before = std::ranges::find_if(changes_, [&](const Change& other) { return same(other, change); });
  const bool stands = before != changes_.end() && !fallen_.contains({kind, key});
  if (stands && change.now && kind == Change::Kind::rule) {
    change.anew = before->anew || (!before->now && change.was);
  }
  if (!stands && is_none(change)) return {};
  if (auto written = write(change); !written) return written;
  fallen_.erase({change.kind, change.key});
  enter(std::move(change));
  if (written_ > 2 * changes_.size() + kMostStale) return replace(changes_);
  return {};
}

Expected<void> RunTimeChanges::write(const Change& change) {
  const std::string text = text_of(change);
  if (log_.append(text)) {
    ++written_;
    return {};
  }
  // Some of it may be of no interest any more.
  if (auto written = replace(changes_); !written) return written;
  if (log_.append(text)) {
    ++written_;
    return {};
  }
  return tl::unexpected(
      Error{fmt::format("what is added and deleted while the switch runs is kept in {} MiB, which are full; right is "
                        "to write it into the "
                        "configuration, and 'sluice upgrade'",
                        ChangeLogMemory::kBytes >> 20U)});
}

Expected<void> RunTimeChanges::replace_rules(const std::vector<Change>& changes) {
  std::set<KindAndKey> anew;
  for (const Change& change : changes) anew.emplace(change.kind, change.key);
  std::vector<Change> all;
  std::ranges::copy_if(changes_, std::back_inserter(all), [&](const Change& change) {
    const KindAndKey name{change.kind, change.key};
    return change.kind == Change::Kind::port || (fallen_.contains(name) && !anew.contains(name));
  });
  std::ranges::copy(changes, std::back_inserter(all));
  if (auto written = replace(std::move(all)); !written) return written;
  for (const auto& name : anew) fallen_.erase(name);
  return {};
}

void RunTimeChanges::stand_only(const std::vector<Change>& standing) {
  auto next = standing.begin();
  for (const Change& change : changes_) {
    if (next != standing.end() && *next == change) {
      ++next;
    } else {
      fell(change.kind, change.key);
    }
  }
}

Expected<void> RunTimeChanges::forget_fallen() {
  const auto fallen = std::exchange(fallen_, {});
  if (fallen.empty()) return {};
  std::vector<Change> left;
  std::ranges::copy_if(changes_, std::back_inserter(left), [&](const Change& change) {
    return !fallen.contains({change.kind, change.key});
  });
  return replace(std::move(left));
}

Expected<void> RunTimeChanges::replace(std::vector<Change> changes) {
  std::vector<std::string> texts;
  texts.reserve(changes.size());
  for (const Change& change : changes) texts.push_back(text_of(change));
  if (!log_.replace(texts)) {
    return tl::unexpected(Error{fmt::format("{} rules and ports cannot be noted as changed: there is room for {} MiB",
                                            changes.size(), ChangeLogMemory::kBytes >> 20U)});
  }
  written_ = texts.size();
  changes_ = std::move(changes);
  return {};
}

}  // namespace sluice::control
