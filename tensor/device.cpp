#include "gradus/tensor/device.h"

#include <ostream>
#include <sstream>

#include "gradus/tensor/dispatch.h"
#include "gradus/tensor/error.h"

namespace gradus {
namespace {

// Of a weak function: whether something defines it.
bool linked(int (*function)() noexcept) { return function != nullptr; }

int count_of(Device::Kind kind) noexcept {
  switch (kind) {
    case Device::Kind::cpu:
      return 1;
    case Device::Kind::cuda:
      return linked(cuda::device_count) ? cuda::device_count() : 0;
    default:
      return linked(emulated::device_count) ? emulated::device_count() : 0;
  }
}

std::string reason(Device::Kind kind) {
  if (kind == Device::Kind::emulated) return "the emulator is not linked into this program";
  return linked(cuda::device_count) ? cuda::problem()
                                    : "this build of the library has no CUDA kernels";
}

std::string known_devices() {
  std::ostringstream text;
  for (const Device d : available_devices()) text << (d == Device::cpu ? "" : ", ") << d;
  return text.str();
}

}  // namespace

void detail::refuse_device_index(int index) {
  fail("cuda: an index lies in [0, 255]: got ", index);
}

std::ostream& operator<<(std::ostream& out, Device d) {
  switch (d.kind) {
    case Device::Kind::cpu:
      return out << "cpu";
    case Device::Kind::cuda:
      out << "cuda";
      break;
    case Device::Kind::emulated:
      out << "emulated";
      break;
  }
  if (d.index) out << ':' << static_cast<int>(d.index);
  return out;
}

std::vector<Device> available_devices() {
  std::vector<Device> list{Device::cpu};
  if (count_of(Device::Kind::emulated)) list.push_back(Device::emulated);
  for (int i = 0; i < count_of(Device::Kind::cuda); ++i) list.push_back(Device::cuda(i));
  return list;
}

void require_available(Device d) {
  const int count = count_of(d.kind);
  if (d.index < count) return;
  if (count) fail(d, ": there are ", count, " devices of this kind, counted from 0");
  fail(d, ": no such device: ", reason(d.kind), "; there is ", known_devices(),
       d.kind == Device::Kind::cuda ? " (emulated runs the CUDA kernels on the CPU)" : "");
}

Device device_named(const std::string& name) {
  const std::size_t colon = name.find(':');
  const std::string kind = name.substr(0, colon);
  Device d;
  if (kind == "cuda")
    d.kind = Device::Kind::cuda;
  else if (kind == "emulated")
    d.kind = Device::Kind::emulated;
  else
    require(name == "cpu", "device: unknown name '", name, "'; known are cpu, cuda, cuda:<index>",
            " and emulated");
  if (colon != std::string::npos) {
    const std::string index = name.substr(colon + 1);
    require(!index.empty() && index.size() <= 2 &&
                index.find_first_not_of("0123456789") == std::string::npos,
            "device: the index of '", name, "' is not a number below 100");
    d.index = static_cast<unsigned char>(std::stoi(index));
  }
  return d;
}

void synchronize(Device d) {
  require_available(d);
  if (d != Device::cpu) GRADUS_RUN_ON_DEVICE(d, synchronize());
}

}  // namespace gradus
