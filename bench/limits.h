// What the machine can do, measured in the same run as what stands beside it, and the counters that
// say so: the rate, the limit in the same unit, and `of_limit`, the share of it that was reached.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace gradus::bench {

template <class Call>
double seconds(std::int64_t calls, Call&& call) {
  const auto start = std::chrono::steady_clock::now();
  for (std::int64_t i = 0; i < calls; ++i) call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// How many calls take about a tenth of a millisecond, far more than reading the clock does.
template <class Call>
std::int64_t calls_to_time(Call&& call) {
  std::int64_t calls = 1;
  while (seconds(calls, call) < 1e-4) calls *= 2;
  return calls;
}

// The shortest time of one call.
template <class Call>
double fastest(Call&& call) {
  const std::int64_t calls = calls_to_time(call);
  double best = seconds(calls, call), spent = best;
  for (int trial = 1; trial < 10 || spent < 0.1; ++trial) {
    const double time = seconds(calls, call);
    best = std::min(best, time);
    spent += time;
  }
  return best / static_cast<double>(calls);
}

// Both with threads() threads, measured once for each number of threads.

// FLOP/s of f32 multiply-adds in registers.
double fma_peak();
// Bytes read and written per second by a copy of `bytes` bytes: the better of memcpy and our own.
double copy_bandwidth(std::int64_t bytes);

// Counters for work done in each iteration. A benchmark that uses them counts real time.

// GB/s, beside a copy of `elements` floats.
void count_bytes(benchmark::State& state, std::int64_t bytes, std::int64_t elements);
// GFLOP/s, beside the peak.
void count_flops(benchmark::State& state, double flops);

}  // namespace gradus::bench
