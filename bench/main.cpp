// Usage: gradus_bench [Google Benchmark's options]. GRADUS_THREADS sets the threads of all lines
// that do not name theirs, GRADUS_ISA the instruction set.
#include <benchmark/benchmark.h>

#include <fstream>
#include <string>

#include "gradus/gradus.h"

namespace {

std::string processor() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  return "unknown";
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("processor", processor());
  benchmark::AddCustomContext("isa", gradus::cpu::name(gradus::cpu::isa()));
  benchmark::AddCustomContext("gradus threads", std::to_string(gradus::threads()));
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
