#include "gradus/tests/cuda/conformance.h"

#include "gradus/kernels/cuda/gpu.h"

namespace gradus::GRADUS_GPU {
namespace {

using Word = unsigned long long;

GRADUS_DEVICE int thread() { return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }
GRADUS_DEVICE int lane() { return static_cast<int>(threadIdx.x % 32); }
GRADUS_DEVICE Word* mine(Word* out) { return out + thread() * conform_words; }
GRADUS_DEVICE unsigned low(Word x) { return static_cast<unsigned>(x); }
GRADUS_DEVICE unsigned high(Word x) { return static_cast<unsigned>(x >> 32); }
GRADUS_DEVICE Word word(float x) { return __float_as_uint(x); }
GRADUS_DEVICE Word word(double x) { return static_cast<Word>(__double_as_longlong(x)); }
GRADUS_DEVICE Word word(int x) { return static_cast<unsigned>(x); }
GRADUS_DEVICE float as_float(Word x) { return __uint_as_float(low(x)); }
GRADUS_DEVICE double as_double(Word x) { return __longlong_as_double(static_cast<long long>(x)); }
GRADUS_DEVICE Word packed(unsigned x, unsigned y, unsigned z) {
  return x | Word(y) << 16 | Word(z) << 32;
}

__global__ void indices(Word* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned inside = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  Word* const o = out + (block * blockDim.x * blockDim.y * blockDim.z + inside) * 4;
  o[0] = packed(threadIdx.x, threadIdx.y, threadIdx.z);
  o[1] = packed(blockIdx.x, blockIdx.y, blockIdx.z);
  o[2] = packed(blockDim.x, blockDim.y, blockDim.z);
  o[3] = packed(gridDim.x, gridDim.y, gridDim.z);
}

__global__ void shuffles(const Word* in, Word* out, int width, int by) {
  const Word x = in[thread()];
  Word* const o = mine(out);
  const unsigned distance = static_cast<unsigned>(by);
  o[0] = __shfl_sync(full_mask, x, by * lane(), width);
  o[1] = __shfl_up_sync(full_mask, x, distance, width);
  o[2] = __shfl_down_sync(full_mask, x, distance, width);
  o[3] = __shfl_xor_sync(full_mask, x, by, width);
  o[4] = word(__shfl_sync(full_mask, static_cast<int>(low(x)), by, width));
  o[5] = word(__shfl_up_sync(full_mask, static_cast<float>(lane()), distance, width));
  o[6] = word(__shfl_down_sync(full_mask, static_cast<double>(lane()), distance, width));
  o[7] = __shfl_xor_sync(full_mask, low(x), by, width);
}

__global__ void votes(const Word* in, Word* out) {
  const int predicate = in[thread()] % 3 == 0;
  const unsigned half = lane() < 16 ? 0x0000ffffu : 0xffff0000u;
  const unsigned alternate = lane() % 2 ? 0xaaaaaaaau : 0x55555555u;
  Word* const o = mine(out);
  o[0] = __ballot_sync(full_mask, predicate);
  o[1] = __ballot_sync(half, predicate);
  o[2] = __ballot_sync(alternate, predicate);
  o[3] = static_cast<Word>(__any_sync(half, predicate) != 0);
  o[4] = static_cast<Word>(__all_sync(half, predicate) != 0);
  o[5] = static_cast<Word>(__any_sync(full_mask, lane() == 31) != 0);
  o[6] = static_cast<Word>(__all_sync(full_mask, lane() != 31) != 0);
  o[7] = static_cast<Word>(__all_sync(alternate, (lane() & 1) == (low(alternate) >> 1 & 1)) != 0);
}

__global__ void reductions(const Word* in, Word* out) {
  const unsigned x = low(in[thread()]);
  const int signed_x = static_cast<int>(x);
  const unsigned mask = lane() % 2 ? 0xaaaaaaaau : 0x55555555u;
  Word* const o = mine(out);
  o[0] = __reduce_add_sync(mask, x);
  o[1] = word(__reduce_min_sync(mask, signed_x));
  o[2] = word(__reduce_max_sync(mask, signed_x));
  o[3] = __reduce_min_sync(mask, x);
  o[4] = __reduce_max_sync(mask, x);
  o[5] = __reduce_and_sync(mask, x);
  o[6] = __reduce_or_sync(mask, x);
  o[7] = __reduce_xor_sync(mask, x);
}

__global__ void barriers(const Word* in, Word* out, int divisor) {
  const int predicate = in[thread()] % static_cast<Word>(divisor) == 0 ? 4 : 0;
  Word* const o = mine(out);
  o[0] = static_cast<Word>(__syncthreads_or(predicate) != 0);
  o[1] = static_cast<Word>(__syncthreads_and(predicate) != 0);
  o[2] = word(__syncthreads_count(predicate));
}

__global__ void warp_barrier(const Word* in, Word* out) {
  GRADUS_SHARED(Word, sums, [conform_block]);
  Word* const warp = sums + threadIdx.x / 32 * 32;
  warp[lane()] = in[thread()];
  __syncwarp();
  for (int step = 16; step > 0; step /= 2) {
    if (lane() < step) warp[lane()] += warp[lane() + step];
    __syncwarp();
  }
  mine(out)[0] = warp[0];
}

// A static array of a helper is one array, however often it is called.
__device__ Word rotated(Word x, int by) {
  GRADUS_SHARED(Word, values, [conform_block]);
  __syncthreads();
  values[threadIdx.x] = x;
  __syncthreads();
  return values[(threadIdx.x + static_cast<unsigned>(by)) % conform_block];
}

__global__ void shared(const Word* in, Word* out, int by) {
  GRADUS_SHARED_ALIGNED(unsigned char, bytes, [conform_block][8], 16);
  GRADUS_DYNAMIC_SHARED(Word, dynamic);
  const unsigned other = (threadIdx.x + static_cast<unsigned>(by)) % conform_block;
  const Word x = in[thread()];
  for (int i = 0; i < 8; ++i) bytes[threadIdx.x][i] = static_cast<unsigned char>(x >> 8 * i);
  dynamic[threadIdx.x] = ~x;
  __syncthreads();
  Word* const o = mine(out);
  Word again = 0;
  for (int i = 0; i < 8; ++i) again |= Word(bytes[other][i]) << 8 * i;
  o[0] = again;
  o[1] = dynamic[other];
  o[2] = rotated(x, by);
  o[3] = rotated(rotated(x, by), by);
}

// out[0]: the sum of all; out[1]: how many blocks have ended; then the sums of blocks.
__global__ void last_block(const Word* in, Word* out) {
  GRADUS_SHARED(Word, values, [conform_block]);
  GRADUS_SHARED(int, is_last, [1]);
  values[threadIdx.x] = in[thread()];
  __syncthreads();
  if (threadIdx.x == 0) {
    Word sum = 0;
    for (int i = 0; i < conform_block; ++i) sum += values[i];
    out[2 + blockIdx.x] = sum;
    __threadfence();
    is_last[0] = atomicAdd(out + 1, Word(1)) == gridDim.x - 1;
  }
  __syncthreads();
  if (is_last[0] && threadIdx.x == 0) {
    __threadfence();
    Word sum = 0;
    for (unsigned i = 0; i < gridDim.x; ++i) sum += out[2 + i];
    out[0] = sum;
  }
}

// out[0...]: one word for each operation; from conform_words on what each thread's atomicAdd saw.
__global__ void atomics(const Word* in, Word* out) {
  const Word x = in[thread()];
  const auto as_int = [out](int i) { return reinterpret_cast<int*>(out + i); };
  const auto as_unsigned = [out](int i) { return reinterpret_cast<unsigned*>(out + i); };
  const int n = static_cast<int>(low(x));
  out[conform_words + thread()] = word(atomicAdd(as_int(0), 1));
  atomicAdd(as_unsigned(1), low(x));
  atomicAdd(out + 2, x);
  atomicSub(as_int(3), n);
  atomicMin(as_int(4), n);
  atomicMax(as_int(5), n);
  atomicMin(as_unsigned(6), low(x));
  atomicMax(as_unsigned(7), low(x));
  atomicMin(out + 8, x);
  atomicMax(out + 9, x);
  atomicAnd(as_unsigned(10), low(x));
  atomicOr(as_unsigned(11), low(x) & 0xff00ff);
  atomicXor(as_unsigned(12), low(x));
  atomicAnd(out + 13, x);
  atomicOr(out + 14, x & 0xff00ff);
  atomicXor(out + 15, x);
  atomicInc(as_unsigned(16), 49);
  atomicDec(as_unsigned(17), 49);
  if (thread() == 100) out[18] = word(atomicExch(as_int(19), 7));
  Word before = out[20];  // adds by compare and swap
  for (;;) {
    const Word seen = atomicCAS(out + 20, before, before + x);
    if (seen == before) break;
    before = seen;
  }
}

__global__ void bits(const Word* in, Word* out) {
  const Word x = in[thread()], other = in[(thread() + 1) % conform_threads];
  const auto signed_x = static_cast<long long>(x);
  Word* const o = mine(out);
  o[0] = word(__popc(low(x)));
  o[1] = word(__popcll(x));
  o[2] = word(__ffs(static_cast<int>(low(x))));
  o[3] = word(__ffsll(signed_x));
  o[4] = word(__clz(static_cast<int>(low(x))));
  o[5] = word(__clzll(signed_x));
  o[6] = __brev(low(x));
  o[7] = __brevll(x);
  o[8] = __byte_perm(low(x), high(x), low(other) & 0x7777);
  o[9] = __funnelshift_l(low(x), high(x), low(other));
  o[10] = __funnelshift_r(low(x), high(x), low(other));
  o[11] = __umulhi(low(x), high(x));
  o[12] = word(__mulhi(static_cast<int>(low(x)), static_cast<int>(high(x))));
  o[13] = __umul64hi(x, other);
  o[14] = static_cast<Word>(__mul64hi(signed_x, static_cast<long long>(other)));
  o[15] = word(__int_as_float(static_cast<int>(low(x) & 0xff7fffff)));
  o[16] = word(__float_as_int(as_float(x & 0xff7fffff)));
  o[17] = word(__hiloint2double(static_cast<int>(high(x) & 0xffefffff), static_cast<int>(low(x))));
  o[18] = word(__double2hiint(as_double(x & 0xffefffffffffffff)));
  o[19] = word(__double2loint(as_double(x & 0xffefffffffffffff)));
}

#define ROUNDINGS(o, function, x)               \
  (o)[0] = static_cast<Word>(function##_rn(x)); \
  (o)[1] = static_cast<Word>(function##_rz(x)); \
  (o)[2] = static_cast<Word>(function##_ru(x)); \
  (o)[3] = static_cast<Word>(function##_rd(x))
__global__ void conversions(const Word* in, Word* out) {
  const double x = as_double(in[thread()]);
  const float f = __double2float_rn(x);
  Word* const o = mine(out);
  ROUNDINGS(o, __float2int, f);
  ROUNDINGS(o + 4, __float2uint, f);
  ROUNDINGS(o + 8, __float2ll, f);
  ROUNDINGS(o + 12, __float2ull, f);
  ROUNDINGS(o + 16, __double2int, x);
  ROUNDINGS(o + 20, __double2uint, x);
  ROUNDINGS(o + 24, __double2ll, x);
  ROUNDINGS(o + 28, __double2ull, x);
}
#undef ROUNDINGS

__global__ void arithmetic(const Word* in, Word* out) {
  const Word bits_x = in[thread()], bits_y = in[(thread() + 1) % conform_threads];
  const double x = as_double(bits_x), y = as_double(bits_y);
  const float f = __double2float_rn(x), g = __double2float_rn(y);
  const auto n = static_cast<long long>(bits_x);
  Word* const o = mine(out);
  o[0] = word(__fadd_rn(f, g));
  o[1] = word(__fsub_rn(f, g));
  o[2] = word(__fmul_rn(f, g));
  o[3] = word(__fdiv_rn(f, g));
  o[4] = word(__frcp_rn(f));
  o[5] = word(__fsqrt_rn(f));
  o[6] = word(__fmaf_rn(f, g, -f));
  o[7] = word(__dadd_rn(x, y));
  o[8] = word(__dsub_rn(x, y));
  o[9] = word(__dmul_rn(x, y));
  o[10] = word(__ddiv_rn(x, y));
  o[11] = word(__drcp_rn(x));
  o[12] = word(__dsqrt_rn(x));
  o[13] = word(__fma_rn(x, y, -x));
  o[14] = word(min(f, g));
  o[15] = word(max(f, g));
  o[16] = word(min(x, y));
  o[17] = word(max(x, y));
  o[18] = word(__int2float_rn(static_cast<int>(n)));
  o[19] = word(__uint2float_rn(static_cast<unsigned>(n)));
  o[20] = word(__ll2float_rn(n));
  o[21] = word(__ull2float_rn(bits_x));
  o[22] = word(__ll2double_rn(n));
  o[23] = word(__ull2double_rn(bits_x));
  o[24] = word(min(static_cast<int>(low(bits_x)), static_cast<int>(low(bits_y))));
  o[25] = max(low(bits_x), low(bits_y));
  o[26] = word(__saturatef(f));
}

__global__ void mathematics(const Word* in, Word* out) {
  const double x = as_double(in[thread()]);
  const float f = __double2float_rn(x);
  Word* const o = mine(out);
  float sine, cosine;
  double long_sine, long_cosine;
  sincospif(f, &sine, &cosine);
  sincospi(x, &long_sine, &long_cosine);
  o[0] = word(rsqrtf(f));
  o[1] = word(sine);
  o[2] = word(cosine);
  o[3] = word(erff(f));
  o[4] = word(expf(f));
  o[5] = word(rsqrt(x));
  o[6] = word(long_sine);
  o[7] = word(long_cosine);
  o[8] = word(erf(x));
  o[9] = word(exp(x));
  o[10] = word(log1p(x));
}

__global__ void vectors(const Word* in, Word* out) {
  const int i = thread();
  const uint4 four = reinterpret_cast<const uint4*>(in)[i / 2];
  const float2 two = __ldg(reinterpret_cast<const float2*>(in) + i);
  Word* const o = mine(out);
  *reinterpret_cast<uint4*>(o) = four;
  *reinterpret_cast<float4*>(o + 2) = make_float4(two.x, two.y, two.x, two.y);
  o[4] = __ldg(in + i);
  o[5] = __ldcs(in + i);
  __stcs(o + 6, __ldcg(in + i));
  __stcg(o + 7, in[i]);
}

struct Kilobyte {
  Word word[128];
};
__global__ void arguments(Kilobyte values, Word* out, short tag) {
  mine(out)[0] = values.word[threadIdx.x] + static_cast<Word>(tag);
}

}  // namespace

void conform(Primitive what, const std::uint64_t* input, std::uint64_t* output, int a, int b) {
  const auto* const in = reinterpret_cast<const Word*>(input);
  auto* const out = reinterpret_cast<Word*>(output);
  constexpr unsigned grid = conform_grid, block = conform_block;
  switch (what) {
    case Primitive::indices:
      return GRADUS_LAUNCH(indices, dim3(2, 3, 2), dim3(4, 2, 8), 0, out);
    case Primitive::shuffles:
      return GRADUS_LAUNCH(shuffles, grid, block, 0, in, out, a, b);
    case Primitive::votes:
      return GRADUS_LAUNCH(votes, grid, block, 0, in, out);
    case Primitive::reductions:
      return GRADUS_LAUNCH(reductions, grid, block, 0, in, out);
    case Primitive::barriers:
      return GRADUS_LAUNCH(barriers, grid, block, 0, in, out, a);
    case Primitive::warp_barrier:
      return GRADUS_LAUNCH(warp_barrier, grid, block, 0, in, out);
    case Primitive::shared:
      return GRADUS_LAUNCH(shared, grid, block, sizeof(Word) * conform_block, in, out, a);
    case Primitive::last_block:
      return GRADUS_LAUNCH(last_block, grid, block, 0, in, out);
    case Primitive::atomics:
      return GRADUS_LAUNCH(atomics, grid, block, 0, in, out);
    case Primitive::bits:
      return GRADUS_LAUNCH(bits, grid, block, 0, in, out);
    case Primitive::conversions:
      return GRADUS_LAUNCH(conversions, grid, block, 0, in, out);
    case Primitive::arithmetic:
      return GRADUS_LAUNCH(arithmetic, grid, block, 0, in, out);
    case Primitive::mathematics:
      return GRADUS_LAUNCH(mathematics, grid, block, 0, in, out);
    case Primitive::vectors:
      return GRADUS_LAUNCH(vectors, grid, block, 0, in, out);
    case Primitive::arguments: {
      Kilobyte values;
      for (int i = 0; i < 128; ++i) values.word[i] = static_cast<Word>(i) * static_cast<Word>(a);
      return GRADUS_LAUNCH(arguments, grid, block, 0, values, out, static_cast<short>(b));
    }
  }
}

}  // namespace gradus::GRADUS_GPU
