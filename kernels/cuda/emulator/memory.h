// The memory of the emulated devices: one range of addresses, of which blocks are handed out.
//
// A block begins as bytes 0xff, NaN in every format, between redzones. A freed one rests for a
// while before its addresses are used again. Under AddressSanitizer all that is not a live block is
// poisoned; otherwise redzones hold a pattern that device_free looks at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace gradus::emulator {

// 256-byte aligned; null when the range is used up.
void* device_allocate(std::size_t bytes);
// Throws Error when the pointer is not a live block (null is), or something wrote beside the block.
void device_free(void* block);

// The first `bytes` of a live block begin again as NaN that nobody wrote, and the rest of it
// belongs to the redzone: for allocators that keep blocks and hand them out for less. Throws as
// device_free.
void device_lend(void* block, std::size_t bytes);

// Whether p lies in the range, and whether the n bytes there lie in one live block.
bool in_device_memory(const void* p);
bool covers(const void* p, std::size_t n);

// The host wrote these bytes (a copy, a memset): reading them is no longer an error.
void mark_written(void* p, std::size_t n);

// "byte 12 of a block of 40 bytes"; an address outside of all is described by the one before it.
std::string describe_device_address(const void* p);

// The range, and what the race build knows of each of its bytes.
struct History;
struct DeviceRange {
  char* base = nullptr;
  std::size_t bytes = 0;
  std::uint8_t* flags = nullptr;
  History* histories = nullptr;
};
const DeviceRange& device_range();

// ---- AddressSanitizer, or nothing.
void poison(const void* p, std::size_t n);
void unpoison(const void* p, std::size_t n);
// Lets it report an access to poisoned bytes.
void touch(const void* p, std::size_t n);
inline constexpr std::uint8_t redzone_pattern = 0xc5;
void fill_redzone(char* p, std::size_t n);
// Whether nothing wrote there; true under AddressSanitizer, which has reported it.
bool redzone_intact(const char* p, std::size_t n);

}  // namespace gradus::emulator
