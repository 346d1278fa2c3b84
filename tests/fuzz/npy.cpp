#include "gradus/tensor/npy.h"

#include "gradus/tests/fuzz/fuzz.h"

using namespace gradus;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static fuzz::MemoryFile input;
  static fuzz::SavedFile saved;
  const auto tensor = fuzz::loaded([&] { return load_npy(input.path(fuzz::text(data, size))); });
  if (!tensor) return 0;
  save_npy(saved.path(), *tensor);
  fuzz::expect(fuzz::same(load_npy(saved.path()), *tensor));
  return 0;
}
