#include "gradus/tensor/npz.h"

#include "gradus/tests/fuzz/fuzz.h"
#include "gradus/tests/zip_files.h"

using namespace gradus;

// An .npy file goes into an archive of its own: a changed one inside of an archive would stop at
// the checksum.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static fuzz::MemoryFile input;
  static fuzz::SavedFile saved;
  std::string bytes(fuzz::text(data, size));
  if (bytes.starts_with("\x93NUMPY"))
    bytes = test::zip::archive(test::zip::entry("x.npy", bytes, size % 2 ? Z_DEFLATED : 0));
  const auto tensors = fuzz::loaded([&] { return load_npz(input.path(bytes)); });
  if (!tensors) return 0;
  save_npz(saved.path(), *tensors, {.compressed = size % 3 == 0});
  fuzz::expect(fuzz::same(load_npz(saved.path()), *tensors));
  return 0;
}
