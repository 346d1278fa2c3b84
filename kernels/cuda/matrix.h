// The matrix instructions, and copies into shared memory that go on while a kernel computes: inline
// PTX, which lies nowhere else, and beside it the emulated twin. Since sm_80.
//
// Layouts are those of the PTX ISA. In what follows g = lane / 4 and t = 2 * (lane % 4); a register
// of 32 bits holds two numbers, the first in its lower half.
#pragma once

#include <cstdint>
#include <cstring>

#include "gradus/kernels/bf16.h"
#include "gradus/kernels/cuda/gpu.h"

namespace gradus::GRADUS_GPU {

#ifdef __CUDACC__
#define GRADUS_SITE
GRADUS_DEVICE std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}
#else
#define GRADUS_SITE , emulator::Loc site = emulator::Loc::current()
#endif

// Rounds two numbers to bf16.
GRADUS_DEVICE std::uint32_t pack_bf16(float first, float second) {
#ifdef __CUDACC__
  std::uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(second), "f"(first));
  return r;
#else
  return bf16(first).bits | static_cast<std::uint32_t>(bf16(second).bits) << 16;
#endif
}

#ifndef __CUDACC__
namespace detail {
inline void ldmatrix_x4(std::uint32_t (&r)[4], const void* row, bool transposed,
                        emulator::Loc site) {
  struct Lane {
    const void* row;
    std::uint32_t* r;
  } lane{row, r};
  struct Call {
    bool transposed;
    emulator::Loc site;
  } call{transposed, site};
  emulator::warp_op(
      full_mask, emulator::Op::ldmatrix, &lane,
      [](void* const* lanes, std::uint32_t, void* extra) {
        const Call& call = *static_cast<Call*>(extra);
        std::uint16_t matrix[4][8][8];
        for (int l = 0; l < warp_size; ++l) {
          const void* row = static_cast<Lane*>(lanes[l])->row;
          if (reinterpret_cast<std::uintptr_t>(row) % 16 != 0 || !emulator::in_shared(row))
            emulator::fail("ldmatrix: a row is not 16 aligned bytes of shared memory", call.site);
          emulator::check_access(row, 16, false, call.site, l);
          std::memcpy(matrix[l / 8][l % 8], row, 16);
        }
        for (int l = 0; l < warp_size; ++l)
          for (int i = 0; i < 4; ++i) {
            const int g = l / 4, t = l % 4 * 2;
            const auto& m = matrix[i];
            const std::uint32_t first = call.transposed ? m[t][g] : m[g][t];
            const std::uint32_t second = call.transposed ? m[t + 1][g] : m[g][t + 1];
            static_cast<Lane*>(lanes[l])->r[i] = first | second << 16;
          }
      },
      &call, site);
}
}  // namespace detail
#endif

// Loads four matrices of 8 x 8 numbers of 16 bits from shared memory. Lane l names row l % 8 of
// matrix l / 8, 16 aligned bytes, and gets elements (g, t) and (g, t + 1) of matrix i in r[i].
GRADUS_DEVICE void ldmatrix_x4(std::uint32_t (&r)[4], const void* row GRADUS_SITE) {
#ifdef __CUDACC__
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
#else
  detail::ldmatrix_x4(r, row, false, site);
#endif
}

// The same, and each matrix transposed: elements (t, g) and (t + 1, g).
GRADUS_DEVICE void ldmatrix_x4_trans(std::uint32_t (&r)[4], const void* row GRADUS_SITE) {
#ifdef __CUDACC__
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
#else
  detail::ldmatrix_x4(r, row, true, site);
#endif
}

// D += A * B for A of 16 x 16 and B of 16 x 8 numbers in bf16, D in f32. A lane holds, of A, the
// pairs from (g, t), (g + 8, t), (g, t + 8), (g + 8, t + 8) on, along the row; of B those from
// (t, g), (t + 8, g) on, down the column; of D (g, t), (g, t + 1), (g + 8, t), (g + 8, t + 1).
// The device adds in an order of its own and cuts, where the twin rounds: same numbers within the
// error of f32, not same bits.
GRADUS_DEVICE void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                std::uint32_t b1 GRADUS_SITE) {
#ifdef __CUDACC__
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
  struct Lane {
    float* d;
    const std::uint32_t* a;
    std::uint32_t b[2];
  } lane{d, a, {b0, b1}};
  emulator::warp_op(
      full_mask, emulator::Op::mma, &lane,
      [](void* const* lanes, std::uint32_t, void*) {
        const auto number = [](std::uint32_t pair, int half) {
          bf16 x;
          x.bits = static_cast<std::uint16_t>(pair >> 16 * half);
          return static_cast<float>(x);
        };
        float a[16][16], b[16][8], d[16][8] = {};
        for (int l = 0; l < warp_size; ++l) {
          const Lane& lane = *static_cast<Lane*>(lanes[l]);
          const int g = l / 4, t = l % 4 * 2;
          for (int half = 0; half < 2; ++half) {
            for (int i = 0; i < 4; ++i)
              a[g + i % 2 * 8][t + i / 2 * 8 + half] = number(lane.a[i], half);
            for (int i = 0; i < 2; ++i) b[t + i * 8 + half][g] = number(lane.b[i], half);
          }
        }
        for (int i = 0; i < 16; ++i)
          for (int k = 0; k < 16; ++k)
            for (int j = 0; j < 8; ++j) d[i][j] += a[i][k] * b[k][j];
        for (int l = 0; l < warp_size; ++l) {
          float* to = static_cast<Lane*>(lanes[l])->d;
          const int g = l / 4, t = l % 4 * 2;
          for (int i = 0; i < 4; ++i) to[i] += d[g + i / 2 * 8][t + i % 2];
        }
      },
      nullptr, site);
#endif
}

// Starts a copy of 4, 8 or 16 bytes, aligned on both sides, from device into shared memory: `valid`
// bytes, then zeros; nothing is read where valid is 0. Not there before cp_async_wait, and for
// other threads a barrier after it. 16 bytes pass by the L1 cache.
template <int bytes>
GRADUS_DEVICE void cp_async(void* to, const void* from, int valid GRADUS_SITE) {
  static_assert(bytes == 4 || bytes == 8 || bytes == 16);
#ifdef __CUDACC__
  if constexpr (bytes == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)),
                 "l"(from), "r"(valid)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(shared_address(to)),
                 "l"(from), "n"(bytes), "r"(valid)
                 : "memory");
#else
  emulator::cp_async(to, from, bytes, static_cast<unsigned>(valid), site);
#endif
}

// Closes the group of the copies that this thread has started since the last one; it may be empty.
GRADUS_DEVICE void cp_async_commit() {
#ifdef __CUDACC__
  asm volatile("cp.async.commit_group;" ::: "memory");
#else
  emulator::cp_async_commit();
#endif
}

// Waits until at most `keep` of this thread's groups, the latest, are under way.
template <int keep>
GRADUS_DEVICE void cp_async_wait() {
#ifdef __CUDACC__
  asm volatile("cp.async.wait_group %0;" ::"n"(keep) : "memory");
#else
  emulator::cp_async_wait(keep);
#endif
}

#undef GRADUS_SITE

}  // namespace gradus::GRADUS_GPU
