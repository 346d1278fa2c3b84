// Products of bf16 with the matrix instructions: a block computes a tile of C, each of its warps a
// part of it in registers, and the next terms arrive in shared memory meanwhile.
#pragma once

#include "gradus/kernels/cuda/gemm_tile.cuh"
#include "gradus/kernels/cuda/matrix.h"

namespace gradus::GRADUS_GPU::product {

// Tiles of m x n, of which a warp computes warp_m x warp_n.
template <int m_, int n_, int warp_m_, int warp_n_, int stages_, int blocks_>
struct MmaTile {
  static constexpr int m = m_, n = n_, warp_m = warp_m_, warp_n = warp_n_, stages = stages_;
  static constexpr int blocks = blocks_;  // on a multiprocessor, for which registers are left
  static constexpr int terms = 32;        // at once
  static constexpr int warps_across = n / warp_n, threads = m / warp_m * warps_across * 32;
  static constexpr int stage = terms * (m + n);
  // Sums leave through shared memory, in rows apart enough to fall into other banks.
  static constexpr int step = n + 8;
  static constexpr int shared = stages * stage * 2 > m* step * 4 ? stages* stage * 2 : m* step * 4;
};

// A part of an operand in shared memory: `extent` rows of op(A), or columns of op(B), by 32 terms;
// as in device memory either the terms of a row lie side by side, or the rows of a term. Chunks of
// 16 bytes are permuted within a line so that eight of a column, which a matrix instruction reads
// at once, lie in different banks.
template <int extent, bool by_terms>
struct MmaPart {
  static constexpr int line = by_terms ? 32 : extent;  // numbers
  static constexpr int lines = by_terms ? extent : 32, chunks = line / 8;

  // Where chunk `chunk` of line first + i begins; first is a multiple of 8, i < 8.
  static GRADUS_DEVICE int at(int first, int i, int chunk) {
    const int shift = by_terms ? i / 2 : i % chunks;
    return (first + i) * line + (chunk ^ shift) * 8;
  }

  // The fragments of rows [row, row + 16) and terms [term, term + 16): four matrices of 8 x 8. The
  // first and the second differ in rows if `rows_first`, as those of A do, else in terms.
  static GRADUS_DEVICE void load(std::uint32_t (&r)[4], const bf16* part, int row, int term,
                                 bool rows_first) {
    const int lane = static_cast<int>(threadIdx.x) % 32, first = lane / 8 % 2, second = lane / 16;
    row += 8 * (rows_first ? first : second);
    term += 8 * (rows_first ? second : first);
    if constexpr (by_terms)
      ldmatrix_x4(r, part + at(row, lane % 8, term / 8));
    else
      ldmatrix_x4_trans(r, part + at(term, lane % 8, row / 8));
  }
};

// What one thread copies of an operand, 32 terms at a time.
template <int extent, bool by_terms, int threads>
struct MmaFeed {
  using Part = MmaPart<extent, by_terms>;
  static constexpr int lines = threads / Part::chunks;  // at once
  static_assert(lines % 8 == 0 && Part::lines % lines == 0);

  const bf16* from;
  int line, chunk, to;
  unsigned valid;  // by terms: bit i for copy i, else the numbers of every copy

  // x: the first of the terms of row `first`, of `limit` rows.
  GRADUS_DEVICE MmaFeed(const bf16* x, Index ld, Index first, Index limit) {
    const int t = static_cast<int>(threadIdx.x);
    line = t / Part::chunks, chunk = t % Part::chunks;
    to = Part::at(line / 8 * 8, line % 8, chunk);
    if constexpr (by_terms) {
      from = x + (first + line) * ld + chunk * 8;
      valid = 0;
      for (int i = 0; i < Part::lines / lines; ++i)
        if (first + line + i * lines < limit) valid |= 1u << i;
    } else {
      from = x + line * ld + first + chunk * 8;
      valid = eight(limit - first - chunk * 8);
    }
  }

  // Starts to copy the next 32 terms, of which `terms` are there.
  GRADUS_DEVICE void copy(bf16* part, Index ld, bool aligned, int terms) {
    const bf16* x = from;
    GRADUS_UNROLL
    for (int i = 0; i < Part::lines / lines; ++i, x += lines * ld) {
      unsigned count;
      if constexpr (by_terms)
        count = valid >> i & 1 ? eight(terms - chunk * 8) : 0;
      else
        count = line + i * lines < terms ? valid : 0;
      bf16* const chunk_at = part + to + i * lines * Part::line;
      if (aligned)
        cp_async<16>(chunk_at, x, static_cast<int>(2 * count));
      else
        copy_unaligned(chunk_at, x, count);
    }
    from += by_terms ? 32 : 32 * ld;
  }

 private:
  static GRADUS_DEVICE unsigned eight(Index left) {
    return static_cast<unsigned>(left < 0 ? 0 : left < 8 ? left : 8);
  }
  static GRADUS_DEVICE void copy_unaligned(bf16* to, const bf16* x, unsigned count) {
    std::uint32_t w[4];
    GRADUS_UNROLL
    for (unsigned i = 0; i < 4; ++i) {
      const std::uint32_t low = 2 * i < count ? x[2 * i].bits : 0;
      const std::uint32_t high = 2 * i + 1 < count ? x[2 * i + 1].bits : 0;
      w[i] = low | high << 16;
    }
    *reinterpret_cast<uint4*>(to) = make_uint4(w[0], w[1], w[2], w[3]);
  }
};

template <class Tile, bool a_by_terms, bool b_by_terms, class C>
__global__ void __launch_bounds__(Tile::threads, Tile::blocks)
    multiply_mma(const Product<bf16, C> p) {
  constexpr int m = Tile::m, n = Tile::n, stages = Tile::stages;
  using PartA = MmaPart<m, a_by_terms>;
  using PartB = MmaPart<n, b_by_terms>;
  GRADUS_DYNAMIC_SHARED(bf16, memory);

  const Place at = place<m, n>(p);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int row = warp / Tile::warps_across * Tile::warp_m;
  const int column = warp % Tile::warps_across * Tile::warp_n;

  int chain = at.chain;
  do {
    const Range terms = chain_terms(p, chain);
    MmaFeed<m, a_by_terms, Tile::threads> feed_a(
        p.a + offset(p, p.stride_a, at.item) + terms.begin * (a_by_terms ? 1 : p.lda), p.lda,
        Index(at.down) * m, p.m);
    MmaFeed<n, b_by_terms, Tile::threads> feed_b(
        p.b + offset(p, p.stride_b, at.item) + terms.begin * (b_by_terms ? 1 : p.ldb), p.ldb,
        Index(at.across) * n, p.n);
    int left = static_cast<int>(terms.end - terms.begin);
    const auto copy = [&](int stage, int terms) {
      if (terms > 0) {
        bf16* const part = memory + stage * Tile::stage;
        feed_a.copy(part, p.lda, p.a_aligned, terms);
        feed_b.copy(part + 32 * m, p.ldb, p.b_aligned, terms);
      }
      cp_async_commit();
    };

    float sum[Tile::warp_m / 16][Tile::warp_n / 8][4] = {};
    for (int stage = 0; stage < stages - 1; ++stage) copy(stage, left - 32 * stage);
    int stage = 0;
    for (; left > 0; left -= 32) {
      cp_async_wait<stages - 2>();
      __syncthreads();  // these terms are there, and nobody needs those of the step before
      copy(stage == 0 ? stages - 1 : stage - 1, left - 32 * (stages - 1));
      const bf16* const part = memory + stage * Tile::stage;
      GRADUS_UNROLL
      for (int term = 0; term < 32; term += 16) {
        std::uint32_t u[Tile::warp_m / 16][4], v[Tile::warp_n / 16][4];
        GRADUS_UNROLL
        for (int i = 0; i < Tile::warp_m / 16; ++i)
          PartA::load(u[i], part, row + i * 16, term, true);
        GRADUS_UNROLL
        for (int j = 0; j < Tile::warp_n / 16; ++j)
          PartB::load(v[j], part + 32 * m, column + j * 16, term, false);
        GRADUS_UNROLL
        for (int i = 0; i < Tile::warp_m / 16; ++i) GRADUS_UNROLL
        for (int j = 0; j < Tile::warp_n / 8; ++j)
          mma_m16n8k16(sum[i][j], u[i], v[j / 2][j % 2 * 2], v[j / 2][j % 2 * 2 + 1]);
      }
      stage = stage == stages - 1 ? 0 : stage + 1;
    }

    __syncthreads();
    float* const tile = reinterpret_cast<float*>(memory);
    GRADUS_UNROLL
    for (int i = 0; i < Tile::warp_m / 16; ++i) GRADUS_UNROLL
    for (int j = 0; j < Tile::warp_n / 8; ++j) GRADUS_UNROLL
    for (int half = 0; half < 2; ++half)
      *reinterpret_cast<float2*>(tile + (row + i * 16 + half * 8 + lane / 4) * Tile::step + column +
                                 j * 8 + lane % 4 * 2) =
          make_float2(sum[i][j][2 * half], sum[i][j][2 * half + 1]);
    __syncthreads();
    finish_tile<m, n, Tile::threads>(p, at, chain, tile, Tile::step);
    __syncthreads();
  } while (!p.split && ++chain < p.chains);
}

}  // namespace gradus::GRADUS_GPU::product
