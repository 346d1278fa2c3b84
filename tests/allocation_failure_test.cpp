// Memory that runs out: every allocation of a training run fails in turn, once or from there on.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>

#include "gradus/gradus.h"
#include "gradus/kernels/cpu/pool.h"
#include "gradus/tensor/sanitized.h"
#include "gradus/tests/files.h"

namespace {

// Which allocation of the process fails: the one that brings `left` down to 0 and, if `lasting`,
// all after it. Nothing fails below 0.
std::atomic<long> left{0};
std::atomic<bool> lasting{false};
std::atomic<long> failures{0};

bool fails() {
  if (left.load(std::memory_order_relaxed) <= 0) return false;
  const long before = left.fetch_sub(1, std::memory_order_relaxed);
  if (before > 1) return false;
  left.store(lasting ? 1 : 0, std::memory_order_relaxed);
  failures.fetch_add(1, std::memory_order_relaxed);
  return true;
}

void arm(long number, bool for_good) {
  failures = 0;
  lasting = for_good;
  left = number;
}

long disarm() {
  left = 0;
  return failures;
}

}  // namespace

// What new and the tensors' allocator ask for memory; the linker directs the calls here (--wrap).
extern "C" {
void* __real_aligned_alloc(std::size_t alignment, std::size_t bytes);
void* __wrap_aligned_alloc(std::size_t alignment, std::size_t bytes) {
  return fails() ? nullptr : __real_aligned_alloc(alignment, bytes);
}
void* __real_mmap(void* at, std::size_t bytes, int protection, int flags, int file, off_t offset);
void* __wrap_mmap(void* at, std::size_t bytes, int protection, int flags, int file, off_t offset) {
  return fails() ? MAP_FAILED : __real_mmap(at, bytes, protection, flags, file, offset);
}
}

// Out of line: GCC would otherwise take malloc and delete, or new and free, for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  if (!fails())
    if (void* p = std::malloc(bytes ? bytes : 1)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return fails() ? nullptr : std::malloc(bytes ? bytes : 1);
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace gradus::test {
namespace {

struct State {
  Generator generator{1};
  nn::MLP model{{5, 8, 3}, generator};
  optim::Adam adam{nn::parameters(model), {.learning_rate = 0.1}};
  data::Loader loader{
      {randn({12, 5}, generator), randint(0, 3, {12}, generator)}, 4, generator.fork(2)};
};

// A short training run, one action after the other. Each of them is done or not done.
class Training {
 public:
  explicit Training(std::filesystem::path file) : file_(std::move(file)) {}

  using Action = void (Training::*)();
  static std::array<Action, 10> actions() {
    return {&Training::begin, &Training::fetch, &Training::step,   &Training::fetch,
            &Training::step,  &Training::save,  &Training::resume, &Training::fetch,
            &Training::step,  &Training::save};
  }

 private:
  void begin() {
    state_.emplace();
    Generator generator(2);
    wide_ = exp(randn({1 << 17}, generator)).sum();  // work for the pool
  }
  void fetch() { batch_ = state_->loader.next(); }
  void step() {
    Tensor loss = cross_entropy(state_->model(batch_[0]), batch_[1]);
    state_->adam.step(grad(std::move(loss), state_->adam.parameters()));
  }
  void save() {
    NamedTensors tensors = nn::named_tensors(state_->model);
    for (auto& [name, tensor] : state_->adam.state()) tensors.emplace_back("adam." + name, tensor);
    tensors.emplace_back("wide", wide_);
    const auto [epoch, batch] = state_->loader.position();
    save_safetensors(file_.string(), tensors,
                     {{"epoch", std::to_string(epoch)}, {"batch", std::to_string(batch)}});
  }
  // Into the state that is there.
  void resume() {
    std::map<std::string, std::string> counters;
    NamedTensors model, moments;
    for (auto& [name, tensor] : load_safetensors(file_.string(), &counters)) {
      if (name == "wide") continue;
      const bool moment = name.starts_with("adam.");
      (moment ? moments : model).emplace_back(moment ? name.substr(5) : name, tensor);
    }
    const data::Position position{std::stoll(counters.at("epoch")),
                                  std::stoll(counters.at("batch"))};
    nn::load(state_->model, model);
    state_->adam.load_state(moments);
    state_->loader.set_position(position);
  }

  std::filesystem::path file_;
  std::optional<State> state_;
  data::Batch batch_;
  Tensor wide_;
};

// Whether memory ran out in it.
bool runs_out(const auto& action) {
  try {
    action();
    return false;
  } catch (const std::bad_alloc&) {
  } catch (const OutOfMemory&) {
  }
  return true;
}

class AllocationFailure : public testing::Test {
 protected:
  void TearDown() override {
    disarm();
    set_threads(threads_);
  }

  // In a thread of its own, whose caches are empty, and with nothing cached elsewhere.
  static void afresh(const auto& body) {
    release_cached_memory();
    std::thread(body).join();
  }
  // The checkpoint of a run in which nothing fails.
  std::string reference() {
    afresh([&] {
      Training training(directory_ / "reference");
      for (const auto action : Training::actions()) (training.*action)();
    });
    return read_bytes(directory_ / "reference");
  }

  TemporaryDirectory directory_;
  int threads_ = threads();
};
using AllocationFailureSlow = AllocationFailure;

// What failed is done again; the end is that of a run without failures.
TEST_F(AllocationFailureSlow, OnceAndTheRunGoesOn) {
  for (int n : {1, 2}) {
    const std::string expected = reference();
    const auto file = directory_ / "checkpoint";
    long number = 0, met = 1;
    while (met > 0 && !HasFailure()) {
      number += n * n;  // all of them with one thread
      SCOPED_TRACE(testing::Message() << "allocation " << number << ", " << n << " threads");
      write_bytes(file, "old");
      const std::int64_t blocks = memory_statistics().blocks;
      set_threads(1);
      set_threads(n);  // they start anew
      afresh([&] {
        Training training(file);
        arm(number, false);
        std::string before = "old";
        for (const auto action : Training::actions()) {
          if (runs_out([&] { (training.*action)(); })) {
            met = disarm();
            EXPECT_TRUE(read_bytes(file) == before);
            (training.*action)();
          }
          const long armed = left.exchange(0);
          before = read_bytes(file);
          left = armed;
        }
        met = disarm();
      });
      EXPECT_TRUE(read_bytes(file) == expected);
      EXPECT_EQ(directory_.count(), 2U);
      EXPECT_EQ(memory_statistics().blocks, blocks);
    }
    EXPECT_GT(number, 300);
  }
}

// Nothing more to be had: the run ends, leaves nothing behind, and another one can begin.
TEST_F(AllocationFailureSlow, FromThereOnAndNothingIsLost) {
  const std::string expected = reference();
  const auto file = directory_ / "checkpoint";
  long number = 0, met = 1;
  while (met > 0 && !HasFailure()) {
    SCOPED_TRACE(testing::Message() << "from allocation " << ++number << " on");
    write_bytes(file, "old");
    const std::int64_t blocks = memory_statistics().blocks;
    bool out = false;
    std::string before = "old";
    afresh([&] {
      std::optional<Training> training(file);
      arm(number, true);
      for (const auto action : Training::actions()) {
        if ((out = runs_out([&] { ((*training).*action)(); }))) break;
        const long armed = left.exchange(0);
        before = read_bytes(file);
        left = armed;
      }
      training.reset();
      met = disarm();
    });
    EXPECT_TRUE(met > 0 || !out);
    EXPECT_TRUE(read_bytes(file) == before);
    EXPECT_EQ(directory_.count(), 2U);
    EXPECT_EQ(memory_statistics().blocks, blocks);
    if (number % 16 == 1) {
      EXPECT_TRUE(reference() == expected);
    }
  }
  EXPECT_GT(number, 300);
}

// A long graph is released without memory, and without recursion.
TEST_F(AllocationFailure, AGraphIsReleasedWithoutMemory) {
  const std::int64_t blocks = memory_statistics().blocks;
  std::optional<Tensor> y = ones({}, f64).requires_grad_();
  for (int i = 0; i < 100'000; ++i) y = *y * *y;
  EXPECT_GT(memory_statistics().blocks, blocks + 100'000);
  arm(1, true);
  y.reset();
  disarm();
  EXPECT_EQ(memory_statistics().blocks, blocks);
}

// Blocks of middle size are cut from arenas, which the system may refuse.
TEST_F(AllocationFailure, OfAnArena) {
  if (!GRADUS_CACHE) GTEST_SKIP() << "no arenas under AddressSanitizer";
  release_cached_memory();
  std::vector<Tensor> held;
  held.reserve(100);
  arm(1, true);
  EXPECT_TRUE(runs_out([&] {
    left = 0;
    for (;;) {
      left = 1;
      Tensor block = empty({3 << 20}, u8);
      left = 0;
      held.push_back(block);
    }
  }));
  disarm();
  for (int i = 0; i < 12; ++i) held.push_back(ones({3 << 20}, u8));
  EXPECT_EQ(held.back().to(f64).sum().item(), 3 << 20);
}

}  // namespace
}  // namespace gradus::test
