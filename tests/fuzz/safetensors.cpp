#include "gradus/tensor/safetensors.h"

#include "gradus/tests/fuzz/fuzz.h"

using namespace gradus;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static fuzz::MemoryFile input;
  static fuzz::SavedFile saved;
  std::map<std::string, std::string> metadata, again;
  const auto tensors =
      fuzz::loaded([&] { return load_safetensors(input.path(fuzz::text(data, size)), &metadata); });
  if (!tensors) return 0;
  save_safetensors(saved.path(), *tensors, metadata);
  fuzz::expect(fuzz::same(load_safetensors(saved.path(), &again), *tensors));
  fuzz::expect(again == metadata);
  return 0;
}
