// What is said of PCI devices that cannot be attached; devices are folders as in sysfs.
#include "ports/ethdev/pci_obstacle.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/unit/temporary_directory.hpp"

namespace sluice::test {
namespace {

using ports::ethdev::pci_obstacle;

constexpr const char* kAddress = "0000:41:00.0";

struct PciObstacle : testing::Test {
  /// `driver`: none if empty.
  void put_device(const std::string& driver, const char* kind = "0x020000") const {
    std::filesystem::create_directories(devices / kAddress);
    std::ofstream(devices / kAddress / "class") << kind << '\n';
    if (driver.empty()) return;
    std::filesystem::create_directory_symlink("../../../bus/pci/drivers/" + driver, devices / kAddress / "driver");
  }

  const control::TemporaryDirectory directory;
  const std::filesystem::path devices = directory / "devices";
};

TEST_F(PciObstacle, a_device_that_is_not_there_is_that) {
  EXPECT_EQ(pci_obstacle(kAddress, devices), "there is no such PCI device; lspci -D shows those that are");
}

TEST_F(PciObstacle, a_device_without_a_driver_needs_one) {
  put_device("");
  EXPECT_EQ(pci_obstacle(kAddress, devices),
            "it is bound to no driver; right is vfio-pci: dpdk-devbind.py --bind=vfio-pci 0000:41:00.0");
}

TEST_F(PciObstacle, a_device_of_the_kernels_needs_another_driver) {
  put_device("e1000e");
  EXPECT_EQ(
      pci_obstacle(kAddress, devices),
      "it is bound to the kernel's driver e1000e; right is vfio-pci: dpdk-devbind.py --bind=vfio-pci 0000:41:00.0");
}

TEST_F(PciObstacle, a_device_that_is_no_nic_is_to_stay_where_it_is) {
  put_device("nvme", "0x010802");
  EXPECT_EQ(pci_obstacle(kAddress, devices), "it is no network device: its PCI class is 0x010802");
}

TEST_F(PciObstacle, of_a_device_that_dpdk_can_drive_it_is_another_one) {
  for (const char* driver : {"vfio-pci", "mlx5_core"}) {
    put_device(driver);
    EXPECT_EQ(pci_obstacle(kAddress, devices), "") << driver;
    std::filesystem::remove_all(devices / kAddress);
  }
}

TEST_F(PciObstacle, nothing_is_said_of_what_is_no_pci_device) {
  EXPECT_EQ(pci_obstacle("net_tap0", devices), "");
  EXPECT_EQ(pci_obstacle("baseband_null0", devices), "");
}

}  // namespace
}  // namespace sluice::test
