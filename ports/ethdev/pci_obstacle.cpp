#include "ports/ethdev/pci_obstacle.hpp"

#include <algorithm>
#include <fstream>
#include <string_view>
#include <system_error>

#include <rte_pci.h>

namespace sluice::ports::ethdev {
namespace {

/// Drivers through which DPDK works, those that go on beside it included.
constexpr std::string_view kForDpdk[] = {"vfio-pci", "uio_pci_generic", "igb_uio", "mlx4_core", "mlx5_core"};

/// How the classes of network controllers begin (PCI Code and ID Assignment Specification, 1.3).
constexpr std::string_view kNetwork = "0x02";

}  // namespace

std::string pci_obstacle(const std::string& address, const std::filesystem::path& devices) {
  rte_pci_addr parsed{};
  if (rte_pci_addr_parse(address.c_str(), &parsed) != 0) return {};
  std::error_code failed;
  const std::filesystem::path device = devices / address;
  if (!std::filesystem::exists(device, failed)) return "there is no such PCI device; lspci -D shows those that are";
  std::string kind;
  std::ifstream(device / "class") >> kind;
  if (!kind.starts_with(kNetwork)) return "it is no network device: its PCI class is " + kind;
  const std::string driver = std::filesystem::read_symlink(device / "driver", failed).filename().string();
  if (std::ranges::find(kForDpdk, driver) != std::end(kForDpdk)) return {};
  return (driver.empty() ? "it is bound to no driver" : "it is bound to the kernel's driver " + driver) +
         "; right is vfio-pci: dpdk-devbind.py --bind=vfio-pci " + address;
}

}  // namespace sluice::ports::ethdev
