// What keeps a PCI device from being a port, in words: DPDK says "Driver cannot attach the device", or less. Control
// thread.
#pragma once

#include <filesystem>
#include <string>

namespace sluice::ports::ethdev {

/// Why the PCI device `address` (0000:01:00.0) could not be attached, and what would be right: it is not there, or
/// no NIC, or a driver of the kernel's has it, or none. Empty if it is not that, or `address` is none of PCI's.
/// `devices`: where the kernel lists them.
[[nodiscard]] std::string pci_obstacle(const std::string& address,
                                       const std::filesystem::path& devices = "/sys/bus/pci/devices");

}  // namespace sluice::ports::ethdev
