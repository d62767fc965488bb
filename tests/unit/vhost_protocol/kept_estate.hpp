// An estate for ports that follow each other within one process.
#pragma once

#include <fcntl.h>

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
  void keep(Heirloom kind, unsigned index, int fd) override { kept_[{kind, index}] = duplicate(fd); }
  void forget(Heirloom kind, unsigned index) override { kept_.erase({kind, index}); }
  [[nodiscard]] UniqueFd take(Heirloom kind, unsigned index) override {
    const auto found = kept_.find({kind, index});
    return found == kept_.end() ? UniqueFd() : duplicate(found->second.get());
  }

 private:
  static UniqueFd duplicate(int fd) { return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)); }

  ports::vhost::LocalEstate local_;
  std::map<std::pair<Heirloom, unsigned>, UniqueFd> kept_;
};

}  // namespace sluice::test
