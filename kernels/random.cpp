#include "gradus/kernels/random.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <numbers>

#include "gradus/kernels/cpu/pool.h"
#include "gradus/kernels/cpu/simd.h"

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

using std::int64_t;
using std::uint32_t;
using std::uint64_t;

constexpr int64_t tile = 1 << 14;  // elements

// Words of 64 bits come from blocks of their own, so that they share none with words of 32.
constexpr uint64_t block_of_32(uint64_t i) { return i / 4; }
constexpr uint64_t block_of_64(uint64_t i) { return i / 2 | uint64_t{1} << 63; }

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

template <class T>
constexpr int mantissa = sizeof(T) == 4 ? 23 : 52;
template <class T>
constexpr int width = 8 * sizeof(T);
// The bits of 2^mantissa: an integer below that, or'ed in, is a number.
template <class T>
constexpr T integer_base = static_cast<T>(uint64_t{1} << mantissa<T>);

// The upper mantissa + 1 bits of each word as a fraction: (1 + k / 2^m) less 1, or less the number
// before 1 where the last bit is set. Both differences are exact.
template <class L>
GRADUS_INLINE L fraction(typename L::Bits word) {
  using T = typename L::value_type;
  using Bits = typename L::Bits;
  const Bits one = L(1.0).bits();
  const Bits last = (word >> (width<T> - mantissa<T> - 1)) & Bits(1);
  return L::from_bits((word >> (width<T> - mantissa<T>)) | one) - L::from_bits(one - last);
}

// A uniform number in (0, 1] with the full resolution of the word near 0, where the tail of a
// normal comes from.
template <class L>
GRADUS_INLINE L positive_fraction(typename L::Bits word) {
  using T = typename L::value_type;
  using Bits = typename L::Bits;
  if constexpr (sizeof(T) == 8) {
    return fraction<L>(word) + L(0x1p-54);
  } else {
    const Bits base = L(integer_base<T>).bits();
    const L high = L::from_bits((word >> 16) | base) - L(0x1p23);
    const L low = L::from_bits((word & Bits(0xffff)) | base) - L(0x1p23 - 0.5);
    return (high * L(0x1p16) + low) * L(0x1p-32);
  }
}

// The functions below use no fma, so that instruction sets agree to the last bit. They follow from
// their Taylor series, cut where a further term changes nothing.
template <int terms>
constexpr std::array<double, terms> sine_series(int parity) {
  std::array<double, terms> c{};
  double term = 1;
  for (int i = 0; i < terms; ++i) {
    c[i] = term;
    const int n = 2 * i + parity;
    term /= -(n + 1.0) * (n + 2.0);
  }
  return c;
}
template <int terms>
constexpr std::array<double, terms> atanh_series() {
  std::array<double, terms> c{};
  for (int i = 0; i < terms; ++i) c[i] = 1 / (2 * i + 1.0);
  return c;
}

// 1 + c[1] x + c[2] x^2 + ...; c[0] is 1.
template <class L, std::size_t terms>
GRADUS_INLINE L series(const std::array<double, terms>& c, L x) {
  L p(c[terms - 1]);
#pragma GCC unroll 16
  for (std::size_t i = terms - 2; i > 0; --i) p = p * x + L(c[i]);
  return p * x + L(1.0);
}

// log(x) = e log 2 + 2 atanh((m - 1) / (m + 1)), x = m 2^e a positive normal number, m within
// sqrt(2) of 1.
template <class L>
GRADUS_INLINE L minus_two_log(L x) {
  using T = typename L::value_type;
  using Bits = typename L::Bits;
  using Int = typename Bits::Int;
  constexpr int terms = sizeof(T) == 4 ? 5 : 11;
  static constexpr auto c = atanh_series<terms>();
  const Bits root = L(std::numbers::sqrt2 / 2).bits();
  const Bits shifted = x.bits() - root + L(1.0).bits();
  constexpr int digits = mantissa<T>;
  const Bits fraction_bits((Int{1} << digits) - 1);
  const L base(integer_base<T>);
  const L bias(integer_base<T> + (sizeof(T) == 4 ? 127.0 : 1023.0));
  const L e = L::from_bits((shifted >> digits) | base.bits()) - bias;
  const L m = L::from_bits((shifted & fraction_bits) + root);
  const L s = (m - L(1.0)) / (m + L(1.0));
  return e * L(-2 * std::numbers::ln2) + s * L(-4.0) * series(c, s * s);
}

// Cosine and sine of the word as a fraction of a turn: the nearest quarter, and the rest by series.
template <class L>
GRADUS_INLINE void turn(typename L::Bits word, L& cosine, L& sine) {
  using T = typename L::value_type;
  using Bits = typename L::Bits;
  using Int = typename Bits::Int;
  constexpr int terms = sizeof(T) == 4 ? 5 : 9;
  static constexpr auto cosine_terms = sine_series<terms>(0), sine_terms = sine_series<terms>(1);
  constexpr int quarter = width<T> - 2;
  const Bits half(Int{1} << (quarter - 1)), below((Int{1} << quarter) - 1);
  const Bits q = ((word >> (quarter - 1)) + Bits(1)) >> 1;  // the nearest quarter; 4 is 0
  // The rest plus half a quarter: adding half of the modulus flips one bit.
  const Bits rest = ((word ^ half) & below) >> (quarter - mantissa<T>);
  const L x = (L::from_bits(rest | L(integer_base<T>).bits()) - L(1.5 * integer_base<T>)) *
              L(std::numbers::pi / 2 / integer_base<T>);
  const L xx = x * x;
  const Bits c = series(cosine_terms, xx).bits(), s = (x * series(sine_terms, xx)).bits();
  const Bits exchanged = (c ^ s) & (Bits(0) - (q & Bits(1)));
  cosine = L::from_bits(c ^ exchanged ^ (((q + Bits(1)) & Bits(2)) << quarter));
  sine = L::from_bits(s ^ exchanged ^ ((q & Bits(2)) << quarter));
}

// What fills y: `count` elements at a time, those from an index that is a multiple of it.
template <class Set>
struct Bits32 {
  using W = typename Set::template Lane<double>::Bits;
  static constexpr int count = 2 * sizeof(W) / 4;
  GRADUS_INLINE static void draw(PhiloxKey key, uint64_t index, uint32_t* y) {
    W a(0), b(0);
    words_in_order(key, block_of_32(index), a, b);
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
    words_in_order(key, block_of_64(index), a, b);
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
      words_in_order(key, sizeof(T) == 4 ? block_of_32(index) : block_of_64(index), a, b);
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
      philox(key.seed, key.stream, sizeof(T) == 4 ? block_of_32(index) : block_of_64(index), w);
      // A block is two pairs of floats, or one pair of doubles.
      const W even = sizeof(T) == 4 ? join(w[0], w[2]) : join(w[0], w[1]);
      const W odd = sizeof(T) == 4 ? join(w[1], w[3]) : join(w[2], w[3]);
      const L radius = sqrt(minus_two_log(positive_fraction<L>(typename L::Bits((V)even.v))));
      L cosine, sine;
      turn(typename L::Bits((V)odd.v), cosine, sine);
      L a = radius * cosine, b = radius * sine;
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

std::int64_t gradus::random_permutation_scratch(std::int64_t n) {
  return n * static_cast<std::int64_t>(sizeof(cpu::Ticket));
}
