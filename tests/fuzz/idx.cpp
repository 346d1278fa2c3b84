#include "examples/common/idx.h"

#include "gradus/tests/fuzz/fuzz.h"

using namespace gradus;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto idx = fuzz::loaded([&] { return examples::decode_idx({data, size}, "input"); });
  if (!idx) return 0;
  // Written again, without gzip.
  examples::Bytes bytes{0, 0, 8, static_cast<std::uint8_t>(idx->shape.size())};
  for (const std::int64_t axis : idx->shape)
    for (int shift = 24; shift >= 0; shift -= 8)
      bytes.push_back(static_cast<std::uint8_t>(axis >> shift));
  bytes.insert(bytes.end(), idx->values.begin(), idx->values.end());
  const examples::Idx again = examples::decode_idx(bytes, "again");
  fuzz::expect(again.shape == idx->shape && again.values == idx->values);
  return 0;
}
