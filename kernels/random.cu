#include "gradus/kernels/random.h"

#include <bit>
#include <cassert>
#include <cmath>
#include <type_traits>

#include "gradus/kernels/cuda/pack.cuh"
#include "gradus/kernels/cuda/gpu.h"
#include "gradus/kernels/cuda/replay.h"
#include "gradus/kernels/cuda/sort.cuh"
#include "gradus/kernels/random_formula.h"

namespace gradus::GRADUS_GPU {
namespace {

using namespace random_words;

using std::int64_t;
using std::uint32_t;
using std::uint64_t;

constexpr int threads = 256;

// The numbers of one thread with which the formulas are read: integers that wrap, and floating
// point with its bits.
template <class T>
struct Word {
  using Int = std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>;
  Int v;

  GRADUS_INLINE Word(Int c) : v(c) {}
#define GRADUS_OPERATOR(op) \
  GRADUS_INLINE friend Word operator op(Word a, Word b) { return a.v op b.v; }
  GRADUS_OPERATOR(&)
  GRADUS_OPERATOR(|)
  GRADUS_OPERATOR(^)
  GRADUS_OPERATOR(+)
  GRADUS_OPERATOR(-)
#undef GRADUS_OPERATOR
  GRADUS_INLINE friend Word operator<<(Word a, int n) { return a.v << n; }
  GRADUS_INLINE friend Word operator>>(Word a, int n) { return a.v >> n; }
};

template <class T>
struct Number {
  using value_type = T;
  using Bits = Word<T>;
  T v;

  Number() = default;
  GRADUS_INLINE Number(double c) : v(static_cast<T>(c)) {}
  GRADUS_INLINE static Number of(T x) {
    Number r;
    r.v = x;
    return r;
  }
  GRADUS_INLINE Bits bits() const { return std::bit_cast<typename Bits::Int>(v); }
  GRADUS_INLINE static Number from_bits(Bits b) { return of(std::bit_cast<T>(b.v)); }
#define GRADUS_OPERATOR(op) \
  GRADUS_INLINE friend Number operator op(Number a, Number b) { return of(a.v op b.v); }
  GRADUS_OPERATOR(+)
  GRADUS_OPERATOR(-)
  GRADUS_OPERATOR(*)
  GRADUS_OPERATOR(/)
#undef GRADUS_OPERATOR
  GRADUS_INLINE friend Number sqrt(Number a) { return of(std::sqrt(a.v)); }
};

struct Block {
  uint32_t word[4];
};

GRADUS_DEVICE Block philox(PhiloxKey key, uint64_t block) {
  uint32_t w0 = static_cast<uint32_t>(block), w1 = static_cast<uint32_t>(block >> 32);
  uint32_t w2 = static_cast<uint32_t>(key.stream), w3 = static_cast<uint32_t>(key.stream >> 32);
  uint32_t key0 = static_cast<uint32_t>(key.seed), key1 = static_cast<uint32_t>(key.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * w0, b = uint64_t{0xCD9E8D57} * w2;
    w0 = static_cast<uint32_t>(b >> 32) ^ w1 ^ key0;
    w2 = static_cast<uint32_t>(a >> 32) ^ w3 ^ key1;
    w1 = static_cast<uint32_t>(b);
    w3 = static_cast<uint32_t>(a);
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return {{w0, w1, w2, w3}};
}

// The four words of 32 bits or two of 64 that a block holds.
template <class W>
inline constexpr int words_of = 16 / static_cast<int>(sizeof(W));
template <class W>
GRADUS_DEVICE W word_of(const Block& block, int i) {
  if constexpr (sizeof(W) == 4)
    return block.word[i];
  else
    return block.word[2 * i] | uint64_t{block.word[2 * i + 1]} << 32;
}

// Where a draw begins: an argument, or, in a graph, what its memory holds at the replay.
struct Offset {
  uint64_t value;
  const uint64_t* replayed;
  GRADUS_DEVICE uint64_t get() const { return replayed ? *replayed : value; }
};

// Each thread makes all numbers of one block of words: draw(block, i, n, y) those of elements i,
// i + 1, ... of n, some of which may not exist in the first block and in the last.
template <class Draw>
__global__ void __launch_bounds__(threads)
    fill(PhiloxKey key, Offset offset, int64_t n, typename Draw::Value* y, Draw draw) {
  using W = typename Draw::Word;
  constexpr int count = words_of<W>;
  const uint64_t first = offset.get();
  const int64_t group = int64_t{blockIdx.x} * threads + threadIdx.x;
  const int64_t begin = group * count - static_cast<int64_t>(first % count);
  if (begin >= n) return;
  const Block block = philox(key, block_of<W>(first + static_cast<uint64_t>(begin)));
  Pack<typename Draw::Value, count> values;
  draw(block, begin, n, values.x);
  store_pack(values, y, begin, n);
}

template <class Draw>
void draw_all(PhiloxKey key, uint64_t offset, int64_t n, typename Draw::Value* y,
              const Draw& draw) {
  if (n <= 0) return;
  const Offset at{offset, static_cast<const uint64_t*>(replayed_bytes(&offset, sizeof offset))};
  if (rewriting()) return;
  // One thread more than the numbers need: they may begin within a block.
  constexpr int64_t count = words_of<typename Draw::Word>;
  const unsigned grid = blocks_for((n + count - 1) / count + 1, threads);
  GRADUS_LAUNCH(fill<Draw>, grid, threads, 0, key, at, n, y, draw);
}

template <class W>
struct Words {
  using Word = W;
  using Value = W;
  GRADUS_DEVICE void operator()(const Block& block, int64_t, int64_t, W (&y)[words_of<W>]) const {
    for (int j = 0; j < words_of<W>; ++j) y[j] = word_of<W>(block, j);
  }
};

template <class T>
using word_like = typename Word<T>::Int;

template <class T>
struct Uniform {
  using Word = word_like<T>;
  using Value = T;
  GRADUS_DEVICE static T at(const Block& block, int j) {
    return fraction<Number<T>>(word_of<Word>(block, j)).v;
  }
  GRADUS_DEVICE void operator()(const Block& block, int64_t, int64_t,
                                T (&y)[words_of<Word>]) const {
    for (int j = 0; j < words_of<Word>; ++j) y[j] = at(block, j);
  }
};

template <class T>
struct Normal {
  using Word = word_like<T>;
  using Value = T;
  GRADUS_DEVICE void operator()(const Block& block, int64_t, int64_t,
                                T (&y)[words_of<Word>]) const {
    for (int j = 0; j < words_of<Word>; j += 2) {
      Number<T> a, b;
      normal_pair(word_of<Word>(block, j), word_of<Word>(block, j + 1), a, b);
      y[j] = a.v;
      y[j + 1] = b.v;
    }
  }
};

template <class T>
struct Bernoulli {
  using Word = word_like<T>;
  using Value = bool;
  const T* p;
  bool same;  // one p for all
  GRADUS_DEVICE void operator()(const Block& block, int64_t i, int64_t n,
                                bool (&y)[words_of<Word>]) const {
    constexpr int count = words_of<Word>;
    Pack<T, count> limit;
    if (same)
      for (T& x : limit.x) x = *p;
    else
      limit = load_pack<T, count>(p, i, n);
    for (int j = 0; j < count; ++j) y[j] = Uniform<T>::at(block, j) < limit.x[j];
  }
};

struct Integers {
  using Word = uint64_t;
  using Value = int64_t;
  uint64_t low, count;
  GRADUS_DEVICE void operator()(const Block& block, int64_t, int64_t, int64_t (&y)[2]) const {
    __extension__ using Product = unsigned __int128;
    for (int j = 0; j < 2; ++j) {
      const Product product = Product{word_of<uint64_t>(block, j)} * count;
      y[j] = static_cast<int64_t>(low + static_cast<uint64_t>(product >> 64));
    }
  }
};

__global__ void __launch_bounds__(threads) count_up(int64_t n, int64_t* y) {
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i < n) y[i] = i;
}

}  // namespace

void random_bits(PhiloxKey key, uint64_t offset, int64_t n, uint32_t* y) {
  draw_all(key, offset, n, y, Words<uint32_t>{});
}

template <class T>
void random_uniform(PhiloxKey key, uint64_t offset, int64_t n, T* y) {
  draw_all(key, offset, n, y, Uniform<T>{});
}

template <class T>
void random_normal(PhiloxKey key, uint64_t offset, int64_t n, T* y) {
  draw_all(key, offset, n, y, Normal<T>{});
}

template <class T>
void random_bernoulli(PhiloxKey key, uint64_t offset, int64_t n, const T* p, int64_t p_stride,
                      bool* y) {
  assert(p_stride == 0 || p_stride == 1);
  draw_all(key, offset, n, y, Bernoulli<T>{p, p_stride == 0});
}

void random_integers(PhiloxKey key, uint64_t offset, int64_t n, int64_t low, int64_t high,
                     int64_t* y) {
  assert(low < high);
  const uint64_t from = static_cast<uint64_t>(low);
  draw_all(key, offset, n, y, Integers{from, static_cast<uint64_t>(high) - from});
}

// Words first in the scratch memory. The sort is stable, so equal words stay in the order of their
// indices; it moves the pairs to and fro once for each of eight bytes, and so back into y.
void random_permutation(PhiloxKey key, uint64_t offset, int64_t n, int64_t* y, void* scratch) {
  uint64_t* const words = static_cast<uint64_t*>(scratch);
  assert(n * int64_t{sizeof(uint64_t)} + sort_scratch<int64_t>(n) <= random_permutation_scratch(n));
  draw_all(key, offset, n, words, Words<uint64_t>{});
  if (n <= 0 || rewriting()) return;
  GRADUS_LAUNCH(count_up, blocks_for(n, threads), threads, 0, n, y);
  [[maybe_unused]] const auto sorted = sort_pairs(words, y, n, 64, words + n);
  assert(sorted.values == y);
}

#define GRADUS_INSTANTIATE(T)                                     \
  template void random_uniform(PhiloxKey, uint64_t, int64_t, T*); \
  template void random_normal(PhiloxKey, uint64_t, int64_t, T*);  \
  template void random_bernoulli(PhiloxKey, uint64_t, int64_t, const T*, int64_t, bool*);
GRADUS_INSTANTIATE(float)
GRADUS_INSTANTIATE(double)

}  // namespace gradus::GRADUS_GPU
