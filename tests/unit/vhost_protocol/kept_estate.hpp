// An estate for ports that follow each other within one process.
#pragma once

#include <fcntl.h>

#include <functional>
#include <map>
#include <utility>

#include "ports/vhost/local_estate.hpp"

namespace sluice::test {

using ports::UniqueFd;

/// What a port leaves, with its descriptors: as the keeper has it.
class KeptEstate final : public ports::vhost::Estate {
 public:
  using Heirloom = ports::vhost::Heirloom;
  [[nodiscard]] ports::vhost::PortState& state() override { return local_.state(); }
  void keep(Heirloom kind, unsigned index, int fd) override {
    on_change();
    kept_[{kind, index}] = duplicate(fd);
    on_change();
  }
  void forget(Heirloom kind, unsigned index) override {
    on_change();
    kept_.erase({kind, index});
    on_change();
  }
  [[nodiscard]] UniqueFd take(Heirloom kind, unsigned index) override {
    const auto found = kept_.find({kind, index});
    return found == kept_.end() ? UniqueFd() : duplicate(found->second.get());
  }

  /// At instants at which a port may die: before and after each change of what is kept.
  std::function<void()> on_change = [] {};

 private:
  static UniqueFd duplicate(int fd) { return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

  ports::vhost::LocalEstate local_;
  std::map<std::pair<Heirloom, unsigned>, UniqueFd> kept_;
};

}  // namespace sluice::test
