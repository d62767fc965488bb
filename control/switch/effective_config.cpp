#include "control/switch/effective_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "control/config/load.hpp"
#include "control/rules/format.hpp"
#include "control/rules/parse.hpp"
#include "flowtable/flow_key.hpp"

namespace sluice::control {

using flowtable::PortId;

std::string rule_key(const Rule& rule, const PortNames& names) {
  Rule match = rule;
  match.actions.clear();
  return format_rule(match, names);
}

std::string settings_of(const PortConfig& port) {
  nlohmann::json json{{"type", port.type},     {"vlan", static_cast<int>(port.vlan.mode)},
                      {"tag", port.vlan.tag},  {"trunks", port.vlan.trunks},
                      {"mtu", port.mtu},       {"native", port.vlan.native ? int{*port.vlan.native} : -1},
                      {"queues", port.queues}, {"queue_size", port.queue_size}};
  if (port.vhost_user) {
    json["path"] = port.vhost_user->path;
    json["mode"] = static_cast<int>(port.vhost_user->mode);
  }
  if (port.ethdev) {
    json["devargs"] = port.ethdev->devargs;
    json["peer"] = {port.ethdev->peer_path, port.ethdev->peer_connects};
    json["pcap"] = {port.ethdev->pcap_rx, port.ethdev->pcap_tx, port.ethdev->pcap_rate, port.ethdev->pcap_loop};
  }
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Baseline::Baseline(const Config& config) {
  for (std::size_t i = 0; i < config.ports.size(); ++i) {
    names_.add(config.ports[i].name, static_cast<PortId>(i));
    ports_.emplace(config.ports[i].name, settings_of(config.ports[i]));
  }
  for (const RuleText& text : config.rules) {
    const auto rule = parse_rule(text.text, names_);
    if (!rule) continue;  // the configuration was checked
    std::string key = rule_key(*rule, names_);
    rules_.insert_or_assign(std::move(key), ConfiguredRule{format_rule(*rule, names_), *rule});
  }
}

std::optional<std::string> Baseline::rule(const std::string& key) const {
  const auto found = rules_.find(key);
  return found == rules_.end() ? std::nullopt : std::optional(found->second.text);
}

std::optional<std::string> Baseline::port(const std::string& name) const {
  const auto found = ports_.find(name);
  return found == ports_.end() ? std::nullopt : std::optional(found->second);
}

namespace {

class Merge {
 public:
  Merge(const Config& loaded, const std::vector<Change>& changes)
      : loaded_(loaded), base_(loaded), out_{loaded, {}, {}} {
    for (const Change& change : changes) {
      if (stands(change)) changes_.push_back(change);
    }
  }

  EffectiveConfig run() {
    for (const Change& change : changes_) {
      if (change.kind == Change::Kind::port && change.was && may_delete(change)) delete_port(change.key);
    }
    for (const Change& change : changes_) {
      if (change.kind == Change::Kind::port && change.now) add_port(change);
    }
    put_back_ports();
    merge_rules();
    for (Change& change : changes_) {
      if (!dropped_.contains({change.kind, change.key})) out_.standing.push_back(std::move(change));
    }
    return std::move(out_);
  }

 private:
  void drop(const Change& change, const std::string& why) {
    out_.dropped.push_back(fmt::format("{}: the change is dropped: {}", describe(change), why));
    dropped_.insert({change.kind, change.key});
  }

  /// What a change has made of it, in the words of the configuration.
  static std::optional<std::string> outcome(const Change& change) {
    if (change.kind == Change::Kind::rule || !change.now) return change.now;
    const auto port = parse_port(*change.now);
    return port ? std::optional(settings_of(*port)) : std::nullopt;
  }

  bool stands(const Change& change) {
    const auto now = change.kind == Change::Kind::rule ? base_.rule(change.key) : base_.port(change.key);
    if (now == change.was) return true;
    if (now == outcome(change)) return false;
    drop(change, now ? "the configuration has another of its own by now" : "the configuration has none any more");
    return false;
  }

  /// Of a rule of the configuration that is still in effect.
  [[nodiscard]] bool is_changed(const std::string& key) const {
    return std::ranges::any_of(
        changes_, [&](const Change& change) { return change.kind == Change::Kind::rule && change.key == key; });
  }

  bool may_delete(const Change& change) {
    if (change.now) return true;
    const auto id = base_.names().id(change.key);
    for (const auto& [key, configured] : base_.rules()) {
      if (!id || !names_port(configured.rule, *id) || is_changed(key)) continue;
      drop(change, fmt::format("a rule of the configuration names it: {}", configured.text));
      return false;
    }
    return true;
  }

  void delete_port(const std::string& name) {
    std::erase_if(out_.config.ports, [&](const PortConfig& port) { return port.name == name; });
  }

  void add_port(const Change& change) {
    auto port = parse_port(*change.now);
    if (!port) return drop(change, port.error().message);
    if (const std::string unfit = unfit_for_memory(*port, out_.config.memory); !unfit.empty()) {
      return drop(change, unfit);
    }
    for (const PortConfig& other : out_.config.ports) {
      for (const std::string& claim : port->claims) {
        if (std::ranges::find(other.claims, claim) == other.claims.end()) continue;
        return drop(change, fmt::format("{} is port '{}''s", claim, other.name));
      }
    }
    if (out_.config.ports.size() >= flowtable::kMaxPorts) {
      return drop(change, fmt::format("a switch has at most {} ports", flowtable::kMaxPorts));
    }
    out_.config.ports.push_back(std::move(*port));
  }

  /// Those of the configuration in whose place another was to be, and is not.
  void put_back_ports() {
    for (const PortConfig& port : loaded_.ports) {
      const auto same = [&](const PortConfig& other) { return other.name == port.name; };
      if (!dropped_.contains({Change::Kind::port, port.name})) continue;
      if (std::ranges::none_of(out_.config.ports, same)) out_.config.ports.push_back(port);
    }
  }

  void merge_rules() {
    PortNames names;
    for (std::size_t i = 0; i < out_.config.ports.size(); ++i) {
      names.add(out_.config.ports[i].name, static_cast<PortId>(i));
    }
    std::map<std::string, std::string> in_place;
    std::set<std::string> gone;
    std::vector<RuleText> added;
    for (const Change& change : changes_) {
      if (change.kind != Change::Kind::rule) continue;
      if (!change.now) {
        gone.insert(change.key);
        continue;
      }
      if (const auto rule = parse_rule(*change.now, names); !rule) {
        drop(change, rule.error().message);
        continue;
      }
      if (change.was && !change.anew) {
        in_place.emplace(change.key, *change.now);
        continue;
      }
      if (change.was) gone.insert(change.key);
      added.push_back({*change.now, "added while the switch ran"});
    }
    if (gone.empty() && in_place.empty() && added.empty()) return;
    std::vector<RuleText> rules;
    for (const RuleText& text : out_.config.rules) {
      const auto rule = parse_rule(text.text, base_.names());
      const std::string key = rule ? rule_key(*rule, base_.names()) : std::string();
      if (gone.contains(key)) continue;
      const auto other = in_place.find(key);
      rules.push_back(other == in_place.end() ? text : RuleText{other->second, "replaced while the switch ran"});
    }
    std::ranges::move(added, std::back_inserter(rules));
    out_.config.rules = std::move(rules);
  }

  const Config& loaded_;
  const Baseline base_;
  EffectiveConfig out_;
  std::vector<Change> changes_;  ///< on what the configuration still is
  std::set<std::pair<Change::Kind, std::string>> dropped_;
};

}  // namespace

EffectiveConfig apply_changes(const Config& loaded, const std::vector<Change>& changes) {
  if (changes.empty()) return {loaded, {}, {}};
  return Merge(loaded, changes).run();
}

}  // namespace sluice::control
