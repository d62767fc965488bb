#include "ports/vhost/dirty_log.hpp"

#include "ports/vhost/mapping.hpp"

namespace sluice::ports::vhost {

tl::expected<std::shared_ptr<DirtyLog>, std::string> DirtyLog::map(int fd, std::uint64_t offset, std::uint64_t size) {
  auto mapping = Mapping::map(UniqueFd(fd), offset, size);
  if (!mapping) return tl::unexpected("the log: " + mapping.error());
  auto log = std::make_shared<DirtyLog>();
  log->bits_ = (*mapping)->data();
  log->size_ = size;
  log->mapping_ = std::move(*mapping);
  return log;
}

int DirtyLog::fd() const { return mapping_->fd(); }

bool DirtyLog::lost() const { return mapping_->lost(); }

void DirtyLog::notify_when_lost(int eventfd) const { mapping_->notify_when_lost(eventfd); }

}  // namespace sluice::ports::vhost
