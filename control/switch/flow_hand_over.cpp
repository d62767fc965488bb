// How the flows of a switch come to be in the tables of the one that takes over from it, before their next packets.
#include <fmt/format.h>

#include <utility>

#include "control/switch/impl.hpp"
#include "datapath/clock.hpp"

namespace sluice::control {

void Switch::list_flows(const Then<ports::UniqueFd>& then) {
  auto list = FlowListWriter::create();
  if (!list) {
    impl_->host.log(ports::Severity::warning, list.error().message);
    return then({});
  }
  impl_->list_more(std::make_shared<FlowListing>(FlowListing{std::move(*list)}), then);
}

/// Little by little: packets that wait for decisions meanwhile do so for a part of a millisecond.
void Switch::Impl::list_more(const std::shared_ptr<FlowListing>& listing, const Then<ports::UniqueFd>& then) {
  ask<bool>([listing](const SlowPath& slow) { return slow.list_flows(*listing, datapath::now_ns()); },
            [this, listing, then](bool more) { more ? list_more(listing, then) : then(listing->list.finish()); });
}

Expected<void> Switch::adopt_flows(ports::UniqueFd list) {
  const auto& log = impl_->host.log;
  auto reader = FlowListReader::open(std::move(list));
  if (!reader) {
    log(ports::Severity::warning,
        "the flows of the worker before begin with their next packets: " + reader.error().message);
    return {};
  }
  // What is changed from here on costs all that is done here, and that while guests wait.
  impl_->link.catch_up();
  if (auto done = impl_->prepare_again_if_changed(impl_->link.another_works()); !done) return done;
  const std::size_t adopted = impl_->prepared->adopt_flows(*reader, datapath::now_ns());
  log(ports::Severity::info, fmt::format("{} of the {} flows of the worker before are here", adopted, reader->size()));
  return {};
}

}  // namespace sluice::control
