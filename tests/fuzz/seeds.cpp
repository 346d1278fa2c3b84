// Usage: gradus_fuzz_seeds FOLDER
// Writes small good files into FOLDER/{safetensors,npy,npz,idx}, for the targets to start from.
#include <filesystem>
#include <fstream>

#include "gradus/tensor/npy.h"
#include "gradus/tensor/npz.h"
#include "gradus/tests/zip_files.h"

using namespace gradus;
namespace fs = std::filesystem;

namespace {

void write(const fs::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), std::ssize(bytes));
}

Tensor sample(DType dtype, const Shape& shape) {
  Tensor tensor = zeros(shape, dtype);
  if (tensor.numel() > 0) tensor.raw_mutable_data()[0] = std::byte{1};
  return tensor;
}

std::string gzip(const std::string& bytes) {
  const std::string head = "\x1f\x8b\x08" + test::zip::field(7, 3ull << 48);
  return head + test::zip::deflated(bytes) + test::zip::field(4, test::zip::checksum(bytes)) +
         test::zip::field(4, bytes.size());
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  const fs::path folder = arguments[1];
  for (const char* reader : {"safetensors", "npy", "npz", "idx"})
    fs::create_directories(folder / reader);

  NamedTensors all;
  for (const DType dtype :
       {DType::f32, DType::f64, DType::i32, DType::i64, DType::u8, DType::boolean}) {
    for (const Shape& shape : {Shape{}, Shape{3}, Shape{0, 2}, Shape{2, 1, 2}})
      all.emplace_back("t" + std::to_string(all.size()), sample(dtype, shape));
    const auto& [name, tensor] = all.back();
    save_npy(folder / "npy" / name, tensor);
    save_npy(folder / "npz" / (name + ".npy"), tensor);
    save_npz(folder / "npz" / name, {all.back()}, {.compressed = dtype == DType::f32});
    save_safetensors(folder / "safetensors" / name, {all.back()}, {{"key", "value"}});
  }
  all.resize(6);
  save_safetensors(folder / "safetensors/all", all);
  save_npz(folder / "npz/all", all);
  save_npz(folder / "npz/deflated", all, {.compressed = true});
  std::string fortran = test::zip::array("(2, 3)", 24, ">f4");
  write(folder / "npy/fortran", fortran.replace(fortran.find("False"), 5, "True "));
  using test::zip::archive, test::zip::entry, test::zip::array;
  write(folder / "npz/two", archive({entry("a.npy"), entry("b.npy", array(), Z_DEFLATED)}));

  const std::string labels = std::string("\0\0\x08\1\0\0\0\3", 8) + "abc";
  const std::string images = std::string("\0\0\x08\3\0\0\0\1\0\0\0\2\0\0\0\2", 16) + "abcd";
  for (const auto& [name, bytes] : {std::pair("labels", labels), std::pair("images", images)}) {
    write(folder / "idx" / name, bytes);
    write(folder / "idx" / (std::string(name) + ".gz"), gzip(bytes));
    write(folder / "idx" / (std::string(name) + ".parts.gz"),
          gzip(bytes.substr(0, 9)) + gzip(bytes.substr(9)));
  }
}
