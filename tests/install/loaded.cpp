// Usage: loaded LIBRARY
// A program that knows the library at run time only, as Python does, and threads begun before.
#include <dlfcn.h>

#include <cstdio>
#include <string>
#include <thread>

int main(int, char** argv) {
  void* library = nullptr;
  std::string error;
  std::thread([&] {
    library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!library) error = dlerror();
  }).join();
  if (!library) return std::puts(error.c_str()), 1;
  using Threads = int();
  const auto threads = reinterpret_cast<Threads*>(dlsym(library, "_ZN6gradus7threadsEv"));
  if (!threads || threads() < 1) return std::puts("gradus::threads() is not to be found"), 1;
  return dlclose(library);
}
