// How all peers measure: a call is warmed up, then timed in samples of at least
// half a millisecond; a line of JSON says the median, the fastest sample, their
// spread and what other processes and machines did. sampling.py is the same for Python.
#pragma once

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace peers {

struct Sampling {
  int samples = 30;      // at least,
  double seconds = 0.4;  // and for at least so long, but not for more than five times that
};

inline double now() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

// Seconds that the processors this process may use were busy, whoever used
// them.
inline double busy_seconds() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof allowed, &allowed);
  std::ifstream file("/proc/stat");
  double ticks = 0;
  for (std::string line; std::getline(file, line);) {
    int cpu = 0;
    if (std::sscanf(line.c_str(), "cpu%d", &cpu) != 1 || !CPU_ISSET(cpu, &allowed)) continue;
    std::istringstream fields(line);
    std::string name;
    double user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, steal = 0;
    fields >> name >> user >> nice >> system >> idle >> wait >> irq >> soft >> steal;
    ticks += user + nice + system + irq + soft + steal;
  }
  return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

inline double own_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Seconds of a fixed piece of arithmetic on the slowest of the processors that
// this process may use: a neighbour outside of this machine is seen in nothing
// else. Independent chains, as only full units feel one who shares them.
inline double pace() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  sched_getaffinity(0, sizeof allowed, &allowed);
  usleep(10'000);  // threads of our own that still wait for work go to sleep
  double slowest = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    sched_setaffinity(0, sizeof one, &one);
    double fastest = 1;
    for (int turn = 0; turn < 10; ++turn) {
      double chains[] = {1, 2, 3, 4, 5, 6, 7, 8};
      const double start = now();
      for (int i = 0; i < 30000; ++i)
        for (double& x : chains) x = x * 0.5 + 1.5;
      [[maybe_unused]] volatile double kept = 0;
      for (const double x : chains) kept = x;
      fastest = std::min(fastest, now() - start);
    }
    slowest = std::max(slowest, fastest);
  }
  sched_setaffinity(0, sizeof allowed, &allowed);
  return slowest;
}

inline double peak_megabytes() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  return 0;
}

struct Measured {
  std::vector<double> seconds;  // of one call, sorted
  double load = 0;              // processors that others kept busy meanwhile
  double pace = 0;              // the slower one of before and after
};

template <class Call>
Measured measure(const Sampling& sampling, Call&& call) {
  const auto timed = [&](std::int64_t calls) {
    const double start = now();
    for (std::int64_t i = 0; i < calls; ++i) call();
    return now() - start;
  };
  for (double warm = 0; warm < sampling.seconds / 4;) warm += timed(1);
  std::int64_t calls = 1;
  while (timed(calls) < 5e-4) calls *= 2;

  Measured result;
  result.pace = pace();
  const double busy = busy_seconds(), own = own_seconds(), start = now();
  for (double spent = 0;;) {
    const double time = timed(calls);
    result.seconds.push_back(time / static_cast<double>(calls));
    spent += time;
    const auto count = std::ssize(result.seconds);
    if (count >= sampling.samples && spent >= sampling.seconds) break;
    if (count >= 3 && spent >= 5 * sampling.seconds) break;
  }
  const double others = (busy_seconds() - busy) - (own_seconds() - own);
  result.load = std::max(0.0, others / (now() - start));
  result.pace = std::max(result.pace, pace());
  std::sort(result.seconds.begin(), result.seconds.end());
  return result;
}

// `check`: what the peers must agree on, losses of the first steps or elements
// of the results. `limit`: the seconds that the machine's limit takes, 0 where
// none is known.
inline void print_line(const std::string& name, const char* implementation, int threads,
                       const Measured& measured, const std::vector<double>& check,
                       double limit = 0) {
  const std::vector<double>& s = measured.seconds;
  const double median = (s[(s.size() - 1) / 2] + s[s.size() / 2]) / 2;
  const double spread = (s[3 * s.size() / 4] - s[s.size() / 4]) / median;
  std::printf(
      "{\"name\":\"%s\",\"impl\":\"%s\",\"threads\":%d,\"median_ms\":%."
      "6g,\"min_ms\":%.6g,",
      name.c_str(), implementation, threads, 1e3 * median, 1e3 * s.front());
  std::printf("\"spread\":%.3f,\"samples\":%zu,\"load\":%.3f,\"pace_ms\":%.4g,\"peak_mb\":%.1f,",
              spread, s.size(), measured.load, 1e3 * measured.pace, peak_megabytes());
  if (limit > 0) std::printf("\"limit_ms\":%.6g,", 1e3 * limit);
  std::printf("\"check\":[");
  for (std::size_t i = 0; i < check.size(); ++i) std::printf("%s%.9g", i ? "," : "", check[i]);
  std::printf("]}\n");
  std::fflush(stdout);
}

}  // namespace peers
