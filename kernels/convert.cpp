#include <algorithm>
#include <cstring>
#include <type_traits>

#include "gradus/kernels/conversion.h"
#include "gradus/kernels/copy.h"
#include "gradus/kernels/cpu/pool.h"
#include "gradus/kernels/cpu/simd.h"

namespace gradus::cpu {

using Index = std::int64_t;

template <class From, class To>
void convert(const From* x, Index n, To* y) {
  constexpr Index tile = 1 << 16, block = 64;
  parallel((n + tile - 1) / tile, [&](Index t) {
    const Index begin = t * tile, end = std::min(n, begin + tile);
    if constexpr (std::is_same_v<From, To>) {
      std::memcpy(y + begin, x + begin, static_cast<std::size_t>(end - begin) * sizeof(To));
    } else {
      // Blocks of fixed length, in memory that cannot overlap, are what compilers vectorise.
      with_isa([&](auto) {
        From from[block];
        To to[block];
        for (Index i = begin; i < end; i += block) {
          const auto m = static_cast<std::size_t>(std::min(block, end - i));
          if (m == block)
            std::memcpy(from, x + i, sizeof from);
          else
            std::memcpy(from, x + i, m * sizeof(From)), std::fill(from + m, from + block, From());
          for (Index j = 0; j < block; ++j) to[j] = converted<To>(from[j]);
          if (m == block)
            std::memcpy(y + i, to, sizeof to);
          else
            std::memcpy(y + i, to, m * sizeof(To));
        }
      });
    }
  });
}

#define GRADUS_TO(From, To) template void convert(const From*, Index, To*);
#define GRADUS_FROM(From)       \
  GRADUS_TO(From, float)        \
  GRADUS_TO(From, double)       \
  GRADUS_TO(From, bf16)         \
  GRADUS_TO(From, std::int32_t) \
  GRADUS_TO(From, std::int64_t) \
  GRADUS_TO(From, std::uint8_t) \
  GRADUS_TO(From, bool)
GRADUS_FROM(float)
GRADUS_FROM(double)
GRADUS_FROM(bf16)
GRADUS_FROM(std::int32_t)
GRADUS_FROM(std::int64_t)
GRADUS_FROM(std::uint8_t)
GRADUS_FROM(bool)
#undef GRADUS_FROM
#undef GRADUS_TO

}  // namespace gradus::cpu
