#include "perf/vmgen/options.hpp"

#include <cstdlib>
#include <map>
#include <memory>
#include <string_view>

#include <rte_ether.h>
#include <rte_kvargs.h>
#include <CLI/CLI.hpp>

#include "perf/vmgen/flow_addresses.hpp"

namespace sluice::vmgen {
namespace {

const std::map<std::string, Pattern> kPatterns{{"pairs", Pattern::kPairs},
                                               {"one-way", Pattern::kOneWay},
                                               {"each", Pattern::kEach},
                                               {"flood", Pattern::kFlood},
                                               {"echo", Pattern::kEcho}};
const std::map<std::string, Protocol> kProtocols{{"udp", Protocol::kUdp}, {"tcp", Protocol::kTcp}};
const std::map<std::string, Distribution> kDistributions{
    {"round-robin", Distribution::kRoundRobin}, {"uniform", Distribution::kUniform}, {"zipf", Distribution::kZipf}};
const std::map<std::string, Verify> kVerifies{{"probe", Verify::kProbe}, {"full", Verify::kFull}};

template <typename T>
const char* name_in(const std::map<std::string, T>& names, T value) {
  for (const auto& [name, known] : names) {
    if (known == value) return name.c_str();
  }
  return "?";
}

/// One key=value of --vm, read by rte_kvargs; `target` is the field that it sets.
struct KeyTarget {
  const char* key;
  void* target;
  arg_handler_t set;
};

int set_text(const char*, const char* value, void* to) {
  *static_cast<std::string*>(to) = value;
  return 0;
}

int set_switch(const char*, const char* value, void* to) {
  const std::string_view text{value};
  *static_cast<bool*>(to) = text == "1";
  return text == "0" || text == "1" ? 0 : -1;
}

int set_number(const char*, const char* value, void* to) {
  return CLI::detail::lexical_cast(std::string{value}, *static_cast<std::uint16_t*>(to)) ? 0 : -1;
}

int set_mac(const char*, const char* value, void* to) {
  return rte_ether_unformat_addr(value, static_cast<rte_ether_addr*>(to));
}

/// "path=/tmp/a.sock,packed=1": `vm` has the defaults.
Expected<VmOptions> parse_vm(const std::string& text, VmOptions vm) {
  const std::array targets{KeyTarget{"path", &vm.path, set_text},
                           KeyTarget{"server", &vm.server, set_switch},
                           KeyTarget{"packed", &vm.packed, set_switch},
                           KeyTarget{"mergeable", &vm.mergeable, set_switch},
                           KeyTarget{"in_order", &vm.in_order, set_switch},
                           KeyTarget{"queues", &vm.queues, set_number},
                           KeyTarget{"queue_size", &vm.queue_size, set_number},
                           KeyTarget{"mac", &vm.mac, set_mac}};
  std::vector<const char*> keys;
  keys.reserve(std::size(targets) + 1);
  for (const KeyTarget& target : targets) keys.push_back(target.key);
  keys.push_back(nullptr);
  const std::unique_ptr<rte_kvargs, void (*)(rte_kvargs*)> pairs{rte_kvargs_parse(text.c_str(), keys.data()),
                                                                 rte_kvargs_free};
  const auto refuse = [&](const std::string& why) { return tl::make_unexpected("--vm '" + text + "': " + why); };
  if (!pairs) {
    return refuse("is to be path=SOCKET and, by commas, server, packed, mergeable, in_order, queues, queue_size, mac");
  }
  for (const KeyTarget& target : targets) {
    if (rte_kvargs_process(pairs.get(), target.key, target.set, target.target) < 0) {
      return refuse(std::string{"the value of "} + target.key + " cannot be read");
    }
  }
  if (vm.path.empty()) return refuse("needs path=SOCKET");
  if (vm.path.size() > 107) return refuse("the path is longer than the 107 bytes that a UNIX socket's holds");
  if (vm.queues < 1 || vm.queues > 8) return refuse("queues is 1 to 8");
  if (vm.queue_size < 64 || vm.queue_size > 32768 || (vm.queue_size & (vm.queue_size - 1)) != 0) {
    return refuse("queue_size is a power of two from 64 to 32768");
  }
  return vm;
}

/// What one option alone does not tell.
Expected<void> check(const Options& options) {
  const auto refuse = [](std::string why) { return tl::make_unexpected(std::move(why)); };
  const std::size_t vms = options.vms.size();
  switch (options.pattern) {
    case Pattern::kPairs:
    case Pattern::kOneWay:
      if (vms % 2 != 0)
        return refuse("--pattern pairs and one-way need an even number of --vm, got " + std::to_string(vms));
      break;
    case Pattern::kEach:
    case Pattern::kFlood:
      if (vms < 2) return refuse("--pattern each and flood need at least two --vm");
      break;
    case Pattern::kEcho: break;
  }
  if (options.tso != 0 && (options.imix || options.protocol != Protocol::kTcp)) {
    return refuse("--tso goes with --protocol tcp and without --size");
  }
  const std::uint64_t capacity = FlowAddresses::capacity(options.vary);
  if (options.flows > capacity) {
    return refuse("--flows " + std::to_string(options.flows) + ": what --vary names tells " + std::to_string(capacity) +
                  " flows apart");
  }
  if (options.new_flows > 0 && capacity < FlowAddresses::kAddresses) {
    return refuse("--new-flows needs --vary with an address, or with both ports");
  }
  if (options.window > 0 && (options.rate > 0 || options.search || options.new_flows > 0)) {
    return refuse("--window is for frames as fast as they come: without --rate, --search and --new-flows");
  }
  if (options.window > 0 && options.pattern == Pattern::kFlood)
    return refuse("--window does not go with --pattern flood, of which each frame comes to many");
  if (options.nap_us > 0 && options.rate == 0)
    return refuse("--nap needs a --rate: else there is always something to do");
  if (options.search && options.rate > 0) return refuse("--search finds the rate: without --rate");
  if (options.search && options.duration == 0) return refuse("--search ends by itself: without --duration 0");
  return {};
}

void add_traffic(CLI::App& app, Options& options, std::string& size, std::vector<std::string>& vary) {
  const std::map<std::string, double> units{{"k", 1e3}, {"M", 1e6}};
  const auto number = CLI::AsNumberWithUnit(units, CLI::AsNumberWithUnit::CASE_SENSITIVE);
  app.add_option("--pattern", options.pattern)->transform(CLI::CheckedTransformer(kPatterns));
  app.add_option_function<std::string>(
         "--echo-mac", [&](const std::string& text) { set_mac("", text.c_str(), &options.echo_mac); }, "MAC")
      ->check([](const std::string& text) {
        Mac mac;
        return set_mac("", text.c_str(), &mac) == 0 ? std::string{} : "'" + text + "' is no MAC address";
      });
  app.add_option("--size", size, "64 to 9000, or imix")
      ->check(CLI::Range(kSmallestFrame, kLargestFrame) | CLI::IsMember({"imix"}));
  app.add_option("--tso", options.tso, "bytes of a frame to be segmented")->check(CLI::Range(1500U, kLargestTso));
  app.add_option("--protocol", options.protocol)->transform(CLI::CheckedTransformer(kProtocols));
  app.add_flag("--checksum-offload", options.checksum_offload, "TCP checksums are left to the device");
  app.add_option("--flows", options.flows)->check(CLI::Range(1U, kMostFlows));
  app.add_option("--vary", vary, "src-ip dst-ip src-port dst-port")
      ->check(CLI::IsMember({"src-ip", "dst-ip", "src-port", "dst-port"}));
  app.add_option("--distribution", options.distribution)->transform(CLI::CheckedTransformer(kDistributions));
  app.add_option("--zipf-exponent", options.zipf_exponent)->check(CLI::Range(0.01, 10.0));
  app.add_option("--new-flows", options.new_flows, "a second")->transform(number)->check(CLI::Range(0.0, 1e8));
  app.add_option("--rate", options.rate, "frames a second and sender")->transform(number)->check(CLI::Range(1.0, 1e9));
  app.add_option("--window", options.window, "frames of a sender on their way")->check(CLI::Range(1U, 1'000'000U));
}

void add_measurement(CLI::App& app, Options& options) {
  app.add_option("--duration", options.duration, "seconds")->check(CLI::Range(0.0, 1e6));
  app.add_option("--warm-up", options.warm_up, "seconds")->check(CLI::Range(0.0, 1e4));
  app.add_option("--timeout", options.timeout, "seconds")->check(CLI::Range(1.0, 1e4));
  app.add_option("--drain", options.drain_ms, "milliseconds")->check(CLI::Range(1U, 60'000U));
  app.add_option("--interval", options.interval_ms, "milliseconds")->check(CLI::Range(1U, 3'600'000U));
  app.add_option("--verify", options.verify)->transform(CLI::CheckedTransformer(kVerifies));
  app.add_option_function<double>(
         "--search",
         [&](double percent) {
           options.search = true;
           options.search_loss_percent = percent;
         },
         "the highest rate that loses so many percent")
      ->check(CLI::Range(0.0, 50.0));
  app.add_option("--search-trial", options.search_trial, "seconds")->check(CLI::Range(0.01, 1e4));
  app.add_option("--search-precision", options.search_precision_percent)->check(CLI::Range(0.01, 20.0));
  app.add_option("--json", options.json, "FILE or -");
  app.add_option("--core", options.core)->check(CLI::Range(0U, 1023U));
  app.add_option("--nap", options.nap_us,
                 "microseconds, when there is nothing to do; else ahead of all others on its core")
      ->check(CLI::Range(0U, 10'000U));
  app.add_option("--memory", options.memory_mb, "MB")->check(CLI::Range(16U, 1U << 20));
  app.add_option("--seed", options.seed);
}

}  // namespace

const char* name_of(Pattern pattern) { return name_in(kPatterns, pattern); }
const char* name_of(Protocol protocol) { return name_in(kProtocols, protocol); }
const char* name_of(Distribution distribution) { return name_in(kDistributions, distribution); }
const char* name_of(Verify verify) { return name_in(kVerifies, verify); }

std::vector<std::string> Options::vary_names() const {
  std::vector<std::string> names;
  if (vary.src_ip) names.emplace_back("src-ip");
  if (vary.dst_ip) names.emplace_back("dst-ip");
  if (vary.src_port) names.emplace_back("src-port");
  if (vary.dst_port) names.emplace_back("dst-port");
  return names;
}

std::string to_string(const Mac& mac) {
  std::array<char, RTE_ETHER_ADDR_FMT_SIZE> text{};
  rte_ether_addr address;
  std::copy(mac.begin(), mac.end(), address.addr_bytes);
  rte_ether_format_addr(text.data(), text.size(), &address);
  std::string lower{text.data()};
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

Expected<Options> parse_options(int argc, char** argv) {
  Options options;
  VmOptions defaults;
  std::vector<std::string> vms;
  std::string size = "64";
  std::vector<std::string> vary{"dst-ip"};
  bool client = false;
  bool no_mergeable = false;
  bool no_in_order = false;

  CLI::App app{"Virtual machines that send through a vhost-user switch, and measure it. See perf/vmgen/README.md."};
  app.add_option("--vm", vms, "path=SOCKET[,key=value]…")
      ->required()
      ->expected(1)
      ->take_all()
      ->check([](const std::string&) { return std::string{}; });
  app.add_flag("--client", client, "the switch listens on the sockets");
  app.add_flag("--packed", defaults.packed, "packed rings");
  app.add_flag("--no-mergeable", no_mergeable);
  app.add_flag("--no-in-order", no_in_order);
  app.add_option("--queues", defaults.queues);
  app.add_option("--queue-size", defaults.queue_size);
  add_traffic(app, options, size, vary);
  add_measurement(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::exit(app.exit(error) == 0 ? 0 : 1);
  }

  defaults.server = !client;
  defaults.mergeable = !no_mergeable;
  defaults.in_order = !no_in_order;
  if (vms.size() > kMostVms) return tl::make_unexpected("at most " + std::to_string(kMostVms) + " --vm");
  for (const std::string& text : vms) {
    const std::size_t number = options.vms.size();
    defaults.name = "vm" + std::to_string(number);
    defaults.mac = {0x02, 0, 0, 0, static_cast<std::uint8_t>(number), 0};
    auto vm = parse_vm(text, defaults);
    if (!vm) return tl::make_unexpected(vm.error());
    options.vms.push_back(std::move(*vm));
  }
  options.imix = size == "imix";
  if (!options.imix) options.size = static_cast<std::uint32_t>(std::stoul(size));
  for (const std::string& field : vary) {
    options.vary.src_ip |= field == "src-ip";
    options.vary.dst_ip |= field == "dst-ip";
    options.vary.src_port |= field == "src-port";
    options.vary.dst_port |= field == "dst-port";
  }
  if (options.tso != 0) options.checksum_offload = true;
  if (auto good = check(options); !good) return tl::make_unexpected(good.error());
  return options;
}

}  // namespace sluice::vmgen
