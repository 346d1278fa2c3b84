#include "gradus/kernels/random.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "gradus/kernels/cpu/pool.h"
#include "gradus/kernels/cpu/simd.h"
#include "gradus/kernels/random_formula.h"

namespace gradus::cpu::baseline {
#define GRADUS_REGISTER_BYTES 16
#include "gradus/kernels/cpu/philox.inc"
#undef GRADUS_REGISTER_BYTES
}  // namespace gradus::cpu::baseline
#if GRADUS_WIDE
GRADUS_TARGET_BEGIN(GRADUS_AVX2_SETS)
namespace gradus::cpu::avx2 {
#define GRADUS_REGISTER_BYTES 32
#include "gradus/kernels/cpu/philox.inc"
#undef GRADUS_REGISTER_BYTES
}  // namespace gradus::cpu::avx2
GRADUS_TARGET_END
GRADUS_TARGET_BEGIN(GRADUS_AVX512_SETS)
namespace gradus::cpu::avx512 {
#define GRADUS_REGISTER_BYTES 64
#include "gradus/kernels/cpu/philox.inc"
#undef GRADUS_REGISTER_BYTES
}  // namespace gradus::cpu::avx512
GRADUS_TARGET_END
#endif

namespace gradus::cpu {
namespace {

using namespace random_words;

using std::int64_t;
using std::uint32_t;
using std::uint64_t;

constexpr int64_t tile = 1 << 14;  // elements

// The lower halves of a's lanes, b's above them.
template <class W>
GRADUS_INLINE W join(W a, W b) {
  return (a & W(0xffffffff)) | (b << 32);
}

// Words in order, two registers of them: of 32 bits four a block, of 64 bits two.
template <class W>
GRADUS_INLINE void words_in_order(PhiloxKey key, uint64_t block, W& first, W& second) {
  W w[4] = {W(0), W(0), W(0), W(0)};
  philox(key.seed, key.stream, block, w);
  first = join(w[0], w[1]);
  second = join(w[2], w[3]);
  interleave(first, second);
}

// What fills y: `count` elements at a time, those from an index that is a multiple of it.
template <class Set>
struct Bits32 {
  using W = typename Set::template Lane<double>::Bits;
  static constexpr int count = 2 * sizeof(W) / 4;
  GRADUS_INLINE static void draw(PhiloxKey key, uint64_t index, uint32_t* y) {
    W a(0), b(0);
    words_in_order(key, block_of<uint32_t>(index), a, b);
    std::memcpy(y, &a.v, sizeof a.v);
    std::memcpy(y + count / 2, &b.v, sizeof b.v);
  }
};

template <class Set>
struct Bits64 {
  using W = typename Set::template Lane<double>::Bits;
  static constexpr int count = 2 * sizeof(W) / 8;
  GRADUS_INLINE static void draw(PhiloxKey key, uint64_t index, uint64_t* y) {
    W a(0), b(0);
    words_in_order(key, block_of<uint64_t>(index), a, b);
    std::memcpy(y, &a.v, sizeof a.v);
    std::memcpy(y + count / 2, &b.v, sizeof b.v);
  }
};

template <class T>
struct Uniform {
  template <class Set>
  struct Draw {
    using L = typename Set::template Lane<T>;
    using W = typename Set::template Lane<double>::Bits;
    using V = typename L::Bits::Vector;
    static constexpr int count = 2 * L::size;
    GRADUS_INLINE static void draw(PhiloxKey key, uint64_t index, T* y) {
      W a(0), b(0);
      words_in_order(key, block_of<T>(index), a, b);
      fraction<L>(typename L::Bits((V)a.v)).store(y);
      fraction<L>(typename L::Bits((V)b.v)).store(y + L::size);
    }
  };
};

template <class T>
struct Normal {
  template <class Set>
  struct Draw {
    using L = typename Set::template Lane<T>;
    using W = typename Set::template Lane<double>::Bits;
    using V = typename L::Bits::Vector;
    static constexpr int count = 2 * L::size;
    GRADUS_INLINE static void draw(PhiloxKey key, uint64_t index, T* y) {
      W w[4] = {W(0), W(0), W(0), W(0)};
      philox(key.seed, key.stream, block_of<T>(index), w);
      // A block is two pairs of floats, or one pair of doubles.
      const W even = sizeof(T) == 4 ? join(w[0], w[2]) : join(w[0], w[1]);
      const W odd = sizeof(T) == 4 ? join(w[1], w[3]) : join(w[2], w[3]);
      L a, b;
      normal_pair(typename L::Bits((V)even.v), typename L::Bits((V)odd.v), a, b);
      interleave(a, b);
      a.store(y);
      b.store(y + L::size);
    }
  };
};

// Elements [first, first + n) into y, all from draws of whole groups.
template <class Draw, class T>
GRADUS_INLINE void fill(PhiloxKey key, uint64_t first, int64_t n, T* y) {
  for (int64_t i = 0; i < n;) {
    const uint64_t at = first + static_cast<uint64_t>(i);
    const int64_t skip = static_cast<int64_t>(at % Draw::count);
    const int64_t take = std::min(Draw::count - skip, n - i);
    if (take == Draw::count) {
      Draw::draw(key, at, y + i);
    } else {
      T spare[Draw::count];
      Draw::draw(key, at - static_cast<uint64_t>(skip), spare);
      std::memcpy(y + i, spare + skip, static_cast<std::size_t>(take) * sizeof(T));
    }
    i += take;
  }
}

template <template <class> class Draw, class T>
void fill_tiles(PhiloxKey key, uint64_t offset, int64_t n, T* y) {
  parallel((n + tile - 1) / tile, [&](int64_t t) {
    const int64_t begin = t * tile;
    with_isa([&](auto set) GRADUS_LAMBDA {
      fill<Draw<decltype(set)>>(key, offset + static_cast<uint64_t>(begin),
                                std::min(tile, n - begin), y + begin);
    });
  });
}

// Calls use(i, chunk, n) for runs of drawn numbers that fit in the first-level cache.
template <template <class> class Draw, class T, class Use>
void draw_chunks(PhiloxKey key, uint64_t offset, int64_t n, const Use& use) {
  parallel((n + tile - 1) / tile, [&](int64_t t) {
    constexpr int64_t most = 512;
    T chunk[most];
    const int64_t end = std::min(n, (t + 1) * tile);
    for (int64_t i = t * tile; i < end; i += most) {
      const int64_t run = std::min(most, end - i);
      with_isa([&](auto set) GRADUS_LAMBDA {
        fill<Draw<decltype(set)>>(key, offset + static_cast<uint64_t>(i), run, chunk);
      });
      use(i, chunk, run);
    }
  });
}

struct Ticket {
  uint64_t word;
  int64_t index;
};

}  // namespace

void random_bits(PhiloxKey key, uint64_t offset, int64_t n, uint32_t* y) {
  fill_tiles<Bits32>(key, offset, n, y);
}

template <class T>
void random_uniform(PhiloxKey key, uint64_t offset, int64_t n, T* y) {
  fill_tiles<Uniform<T>::template Draw>(key, offset, n, y);
}

template <class T>
void random_normal(PhiloxKey key, uint64_t offset, int64_t n, T* y) {
  fill_tiles<Normal<T>::template Draw>(key, offset, n, y);
}

template <class T>
void random_bernoulli(PhiloxKey key, uint64_t offset, int64_t n, const T* p, int64_t p_stride,
                      bool* y) {
  assert(p_stride == 0 || p_stride == 1);
  draw_chunks<Uniform<T>::template Draw, T>(key, offset, n,
                                            [&](int64_t begin, const T* uniform, int64_t run) {
                                              if (p_stride == 0) {
                                                const T limit = *p;
                                                for (int64_t i = 0; i < run; ++i)
                                                  y[begin + i] = uniform[i] < limit;
                                              } else {
                                                for (int64_t i = 0; i < run; ++i)
                                                  y[begin + i] = uniform[i] < p[begin + i];
                                              }
                                            });
}

void random_integers(PhiloxKey key, uint64_t offset, int64_t n, int64_t low, int64_t high,
                     int64_t* y) {
  assert(low < high);
  __extension__ using Product = unsigned __int128;
  const uint64_t count = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  draw_chunks<Bits64, uint64_t>(
      key, offset, n, [&](int64_t begin, const uint64_t* word, int64_t run) {
        for (int64_t i = 0; i < run; ++i)
          y[begin + i] = static_cast<int64_t>(
              static_cast<uint64_t>(low) + static_cast<uint64_t>(Product{word[i]} * count >> 64));
      });
}

void random_permutation(PhiloxKey key, uint64_t offset, int64_t n, int64_t* y, void* scratch) {
  Ticket* const tickets = static_cast<Ticket*>(scratch);
  draw_chunks<Bits64, uint64_t>(key, offset, n,
                                [&](int64_t begin, const uint64_t* word, int64_t run) {
                                  for (int64_t i = 0; i < run; ++i)
                                    tickets[begin + i] = {word[i], begin + i};
                                });
  std::sort(tickets, tickets + n, [](const Ticket& a, const Ticket& b) {
    return a.word != b.word ? a.word < b.word : a.index < b.index;
  });
  for (int64_t i = 0; i < n; ++i) y[i] = tickets[i].index;
}

#define GRADUS_INSTANTIATE(T)                                     \
  template void random_uniform(PhiloxKey, uint64_t, int64_t, T*); \
  template void random_normal(PhiloxKey, uint64_t, int64_t, T*);  \
  template void random_bernoulli(PhiloxKey, uint64_t, int64_t, const T*, int64_t, bool*);
GRADUS_INSTANTIATE(float)
GRADUS_INSTANTIATE(double)

}  // namespace gradus::cpu

// A device's part is the larger one: words, a second place for them and for their indices, and 256
// counts for every 2048 of them (cuda/sort.cuh).
std::int64_t gradus::random_permutation_scratch(std::int64_t n) { return 25 * n + 5000; }
