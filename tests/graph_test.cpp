// The graph: depth, sharing, staleness, modes, threads.
#include <pthread.h>

#include <thread>

#include "gradus/tests/ops.h"

namespace gradus::test {
namespace {

// Runs body on a thread whose stack is 256 KiB: recursion over a graph would not survive.
void on_small_stack(const std::function<void()>& body) {
  pthread_attr_t attributes;
  ASSERT_EQ(pthread_attr_init(&attributes), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&attributes, 256 << 10), 0);
  pthread_t thread;
  ASSERT_EQ(pthread_create(
                &thread, &attributes,
                [](void* f) -> void* {
                  (*static_cast<const std::function<void()>*>(f))();
                  return nullptr;
                },
                const_cast<void*>(static_cast<const void*>(&body))),
            0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

constexpr int million = 1000000;

TEST(GraphSlow, AMillionOperationsOnASmallStack) {
  on_small_stack([] {
    const Tensor x = leaf(full({}, 2, f64));
    Tensor y = x;
    for (int i = 0; i < million; ++i) y = y + 1e-6;
    EXPECT_NEAR(y.item(), 3, 1e-8);
    EXPECT_EQ(grad(y, {x})[0].item(), 1);             // the graph stays
    EXPECT_EQ(grad(std::move(y), {x})[0].item(), 1);  // and is released on the way
  });
}

TEST(GraphSlow, AMillionOperationsReleasedWithoutAWalk) {
  on_small_stack([] {
    const Tensor x = leaf(full({}, 2, f64));
    Tensor y = x;
    for (int i = 0; i < million; ++i) y = y * 1.0;
    y = Tensor();
  });
}

TEST(GraphSlow, ADeepGraphOfTheGradient) {
  on_small_stack([] {
    const Tensor x = leaf(full({}, 1, f64));
    Tensor y = x;
    for (int i = 0; i < 20000; ++i) y = y * x;  // x^20001
    const Tensor d = grad(y, {x}, {.create_graph = true})[0];
    EXPECT_EQ(d.item(), 20001);
    EXPECT_EQ(grad(d, {x})[0].item(), 20001. * 20000);
  });
}

TEST(Graph, SharedSubgraphsAreWalkedOnce) {
  const Tensor x = leaf(full({}, 3, f64));
  Tensor y = x;
  for (int i = 0; i < 60; ++i) y = y + y;  // 2^60 paths
  EXPECT_EQ(grad(y, {x})[0].item(), std::ldexp(1.0, 60));
  const Tensor a = exp(x), z = a * a + a;
  EXPECT_NEAR(grad(z, {x})[0].item(), 2 * std::exp(6) + std::exp(3), 1e-12 * std::exp(6));
}

TEST(Graph, TheSameTensorTwice) {
  const Tensor x = leaf(from_vector(std::vector<double>{1, -2, 3}));
  EXPECT_EQ(doubles(grad(sum(x * x), {x})[0]), (std::vector<double>{2, -4, 6}));
  EXPECT_EQ(doubles(grad(sum(x + x), {x})[0]), (std::vector<double>{2, 2, 2}));
  EXPECT_EQ(doubles(grad(sum(x - x), {x})[0]), (std::vector<double>{0, 0, 0}));
  const Tensor m = leaf(from_vector(std::vector<double>{1, 2, 3, 4}, Shape{2, 2}));
  EXPECT_EQ(doubles(grad(sum(matmul(m, m)), {m})[0]), (std::vector<double>{7, 11, 9, 13}));
  const Tensors both = grad(sum(x * x), {x, x});  // asked for twice
  EXPECT_TRUE(same_bits(both[0], both[1]));
}

TEST(Graph, InputsMayBeInsideAndTheOutputItself) {
  const Tensor x = leaf(full({}, 2, f64)), y = x * x, z = y * y;
  const Tensors d = grad(z, {x, y, z});
  EXPECT_EQ(d[0].item(), 32);
  EXPECT_EQ(d[1].item(), 8);
  EXPECT_EQ(d[2].item(), 1);
}

TEST(Graph, GradientsAreOfTheirOwn) {
  const Tensor x = leaf(ones({3}, f64));
  const Tensor g = ones({3}, f64);
  Tensors d = grad(x + 0.0, {x}, {.grad_output = g});
  d[0].mutable_data<double>()[0] = 5;
  EXPECT_EQ(doubles(x), (std::vector<double>{1, 1, 1}));
  const Tensor y = leaf(ones({3}, f64));
  Tensors pair = grad(sum(x + y), {x, y});
  pair[0].mutable_data<double>()[0] = 5;
  EXPECT_EQ(doubles(pair[1])[0], 1) << "two inputs share the memory of one gradient";
}

TEST(Graph, OrdersOneToFour) {
  const Tensor x = leaf(full({}, 0.7, f64));
  Tensor y = sin(x) * exp(x * 2.0);
  // d^n of Im e^{(2+i)x} = Im (2+i)^n e^{(2+i)x}
  double re = 1, im = 0;
  for (int order = 0; order <= 4; ++order) {
    const double expected = std::exp(1.4) * (re * std::sin(0.7) + im * std::cos(0.7));
    EXPECT_NEAR(y.item(), expected, 1e-11 * std::abs(expected) + 1e-13) << order;
    if (order < 4) y = grad(y, {x}, {.create_graph = true})[0];
    const double next = 2 * re - im;
    im = re + 2 * im;
    re = next;
  }
}

TEST(Graph, StaysUntilItIsReleased) {
  const Tensor x = leaf(full({2}, 3, f64));
  const Tensor y = sum(x * x);
  EXPECT_TRUE(same_bits(grad(y, {x})[0], grad(y, {x})[0]));
  const std::int64_t before = memory_statistics().blocks;
  {
    Tensor z = sum(exp(x) * x);
    EXPECT_GT(memory_statistics().blocks, before);
    grad(std::move(z), {x});
  }
  EXPECT_EQ(memory_statistics().blocks, before);
}

TEST(Graph, ReleasingLowersThePeak) {
  const auto peak = [](bool release) {
    const Tensor x = leaf(ones({100000}, f64));
    Tensor y = x;
    for (int i = 0; i < 20; ++i) y = exp(y * 1e-3);
    y = sum(y);
    reset_peak_memory();
    const Tensors d = release ? grad(std::move(y), {x}) : grad(y, {x});
    return memory_statistics().peak;
  };
  const std::int64_t kept = peak(false), released = peak(true);
  EXPECT_LE(released, kept);
}

TEST(Graph, WithoutRecordingThereIsNone) {
  const Tensor x = leaf(ones({2}, f64));
  {
    const NoGrad off;
    EXPECT_FALSE(is_recording());
    EXPECT_FALSE((x * 2.0).requires_grad());
    { const NoGrad again; }
    EXPECT_FALSE(is_recording());
  }
  EXPECT_TRUE(is_recording());
  EXPECT_TRUE((x * 2.0).requires_grad());
  EXPECT_FALSE(x.detach().requires_grad());
  EXPECT_EQ(doubles(grad(sum(x.detach() * x), {x})[0]), (std::vector<double>{1, 1}));
  EXPECT_TRUE(throws("grad", "", [&] { grad(sum(x.detach()), {x}); }));
}

TEST(Graph, UnusedInputs) {
  const Tensor x = leaf(ones({2}, f64)), y = leaf(ones({3}));
  const Tensor z = sum(x * 2.0);
  EXPECT_TRUE(throws("grad", "input 1", [&] { grad(z, {x, y}); }));
  const Tensors d = grad(z, {x, y}, {.allow_unused = true});
  EXPECT_TRUE(same_bits(d[1], zeros({3})));
  EXPECT_TRUE(throws("grad", "(3", [&] { grad(y * 2.0, {y}); }));  // not one element
  EXPECT_TRUE(throws("grad", "undefined", [&] { grad(z, {Tensor()}); }));
  EXPECT_TRUE(throws("grad", "undefined", [&] { grad(Tensor(), {x}); }));
  EXPECT_TRUE(throws("grad", "(2", [&] { grad(x * 2.0, {x}, {.grad_output = ones({3}, f64)}); }));
  EXPECT_TRUE(throws("grad", "f32", [&] { grad(x * 2.0, {x}, {.grad_output = ones({2})}); }));
}

TEST(Graph, LeavesOnly) {
  Tensor x = ones({2});
  EXPECT_FALSE(x.requires_grad());
  x.requires_grad_();
  const Tensor y = x * 2.0;
  EXPECT_THROW(Tensor(y).requires_grad_(false), Error);
  x.requires_grad_(false);
  EXPECT_FALSE(x.requires_grad());
  EXPECT_THROW(leaf(ones({2})).copy_(leaf(ones({2}))), Error);
}

// A tensor changed after it was saved is an error that names both places.
TEST(Graph, StaleTensorsAreFound) {
  const Tensor x = leaf(ones({2}, f64)), w = ones({2}, f64);
  const Tensor y = x * w;
  const int multiplied = __LINE__ - 1;
  w.mutable_data<double>()[0] = 3;
  const int written = __LINE__ - 1;
  try {
    grad(sum(y), {x});
    FAIL() << "no error";
  } catch (const Error& e) {
    const std::string text = e.what();
    const auto place = [](int line) { return "graph_test.cpp:" + std::to_string(line); };
    EXPECT_EQ(text.rfind("grad: ", 0), 0u) << text;
    EXPECT_NE(text.find("mul"), std::string::npos) << text;
    EXPECT_NE(text.find(place(multiplied)), std::string::npos) << text;
    EXPECT_NE(text.find(place(written)), std::string::npos) << text;
  }
}

// So for every row that keeps something: its inputs, and its output.
TEST(Graph, StaleTensorsOfEveryRow) {
  for_rows_on_cpu([](const Row& row) {
    if (!row.differentiable) return;
    const Tensors values = sample(row, 0);
    for (std::size_t k = 0; k <= values.size(); ++k) {
      const bool output = k == values.size();
      const bool keeps =
          row.kept.find(output ? 'y' : static_cast<char>('0' + k)) != std::string::npos;
      if (!keeps) continue;
      if (row.matrices && !output) continue;  // what is kept is made of the input
      const Tensors x = leaves(values);
      const Tensor y = row.f(x);
      if (saved_bytes(y) == 0) continue;  // a composite: the kept tensor belongs to an inner node
      (output ? y : x[k]).raw_mutable_data();
      EXPECT_TRUE(
          throws("grad", "changed at", [&] { grad(y, x, {.grad_output = ones(y.shape(), f64)}); }))
          << (output ? "output" : "input ") << k;
    }
  });
}

TEST(Graph, WritesBeforeUseAreNoError) {
  Tensor w = ones({2}, f64);
  const Tensor x = leaf(ones({2}, f64));
  w.mutable_data<double>()[0] = 3;
  EXPECT_EQ(doubles(grad(sum(x * w), {x})[0]), (std::vector<double>{3, 1}));
  const Tensor y = x + w;  // keeps nothing
  w.mutable_data<double>()[0] = 5;
  EXPECT_EQ(doubles(grad(sum(y), {x})[0]), (std::vector<double>{1, 1}));
  const Tensor z = x * w.clone();
  w.fill_(0);
  EXPECT_EQ(doubles(grad(sum(z), {x})[0]), (std::vector<double>{5, 1}));
}

TEST(Graph, WritesThroughAViewAreFound) {
  const Tensor x = leaf(ones({2}, f64)), w = ones({4}, f64);
  const Tensor y = x * w.slice(0, 0, 2);
  w.mutable_data<double>()[3] = 9;  // the storage has one version: conservative
  EXPECT_TRUE(throws("grad", "changed at", [&] { grad(sum(y), {x}); }));
}

TEST(Graph, DistinctGraphsInThreadsShareLeaves) {
  const Tensor w = leaf(full({64, 64}, 0.01, f64));
  const Tensor expected = grad(sum(tanh(matmul(w, w))), {w})[0];
  std::vector<Tensor> results(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < results.size(); ++t)
    threads.emplace_back([&, t] {
      for (int repeat = 0; repeat < 20; ++repeat)
        results[t] = grad(sum(tanh(matmul(w, w))), {w})[0];
    });
  for (std::thread& t : threads) t.join();
  for (const Tensor& r : results) EXPECT_TRUE(same_bits(r, expected));
}

TEST(Graph, ModesArePerThread) {
  const NoGrad off;
  bool recording = false;
  std::thread([&] { recording = is_recording(); }).join();
  EXPECT_TRUE(recording);
  EXPECT_FALSE(is_recording());
}

TEST(Graph, AGraphMayEndInAnotherThread) {
  const Tensor x = leaf(full({}, 2, f64));
  Tensor y = x;
  for (int i = 0; i < 1000; ++i) y = y * 1.001;
  std::thread([y = std::move(y)]() mutable { y = Tensor(); }).join();
}

// ---- audit --------------------------------------------------------------------------------------

TEST(Audit, TellsWhereThePathEnds) {
  const TraceCuts trace;
  const Tensor a = leaf(ones({2}, f64)), b = leaf(ones({2}, f64)), c = leaf(ones({2}, f64)),
               d = leaf(ones({2}, f64)), e = ones({2}, f64);
  const Tensor cut = (b * 2.0).detach();
  const int detached = __LINE__ - 1;
  const Tensor chosen = where(c > 0.0, a, 0.0);
  const int compared = __LINE__ - 1;
  const Tensor loss = sum(a * cut + chosen);
  const std::vector<AuditEntry> report = audit(loss, {a, b, c, d, e});
  ASSERT_EQ(report.size(), 5u);
  EXPECT_TRUE(report[0].reached);
  const auto place = [](int line) { return "graph_test.cpp:" + std::to_string(line); };
  EXPECT_FALSE(report[1].reached);
  EXPECT_NE(report[1].reason.find("detach"), std::string::npos) << report[1].reason;
  EXPECT_NE(report[1].reason.find(place(detached)), std::string::npos) << report[1].reason;
  EXPECT_FALSE(report[2].reached);
  EXPECT_NE(report[2].reason.find("greater"), std::string::npos) << report[2].reason;
  EXPECT_NE(report[2].reason.find(place(compared)), std::string::npos) << report[2].reason;
  EXPECT_FALSE(report[3].reached);
  EXPECT_FALSE(report[3].reason.empty());
  EXPECT_FALSE(report[4].reached);
  EXPECT_NE(report[4].reason.find("require"), std::string::npos) << report[4].reason;
  for (std::size_t i = 0; i < report.size(); ++i) EXPECT_EQ(report[i].parameter, i);
}

TEST(Audit, KnowsAPathAroundACut) {
  const TraceCuts trace;
  const Tensor x = leaf(ones({2}, f64));
  EXPECT_TRUE(audit(sum(x.detach() * x), {x})[0].reached);
  Tensor hidden;
  {
    const NoGrad off;
    hidden = x * 3.0;
  }
  const int line = __LINE__ - 2;
  const Tensor w = leaf(ones({2}, f64));
  const AuditEntry entry = audit(sum(hidden * w), {x})[0];
  EXPECT_FALSE(entry.reached);
  EXPECT_NE(entry.reason.find("mul"), std::string::npos) << entry.reason;
  EXPECT_NE(entry.reason.find(":" + std::to_string(line)), std::string::npos) << entry.reason;
}

TEST(Audit, GradientsAreTheSameUnderTraceCuts) {
  const Tensor x = leaf(from_vector(std::vector<double>{1, -2, 3}));
  const auto loss = [&] { return sum(where(x > 0.0, x * x.detach(), 0.0)); };
  const Tensor expected = grad(loss(), {x})[0];
  const TraceCuts trace;
  EXPECT_TRUE(same_bits(grad(loss(), {x})[0], expected));
  EXPECT_THROW(grad(sum(x.detach()), {x}), Error);
}

// A sum hands the incoming gradient on; what the caller gets can be written all the same.
TEST(Graph, GradientsAreNobodyElses) {
  Tensor x = ones({4}).requires_grad_(), y = ones({4}).requires_grad_();
  const Tensor seed = full({4}, 3);
  const std::vector<Tensor> g = grad(x + y, {x, y, x}, {.grad_output = seed});
  for (const Tensor& a : g) EXPECT_EQ(a.to_vector<float>(), seed.to_vector<float>());
  g[0].mutable_data<float>()[0] = 7;
  EXPECT_EQ(seed.to_vector<float>()[0], 3);
  EXPECT_EQ(g[1].to_vector<float>()[0], 3);
  EXPECT_EQ(g[2].to_vector<float>()[0], 3);

  const Tensor of_sum = grad(x.sum(), {x})[0];
  EXPECT_TRUE(of_sum.is_contiguous());
  const Tensor twice = grad((x + x).sum(), {x})[0];
  EXPECT_EQ(twice.to_vector<float>(), std::vector<float>(4, 2));
}

// Its gradient would be that of the old values.
TEST(Graph, ResultsOfOperationsAreNotWritten) {
  Tensor x = ones({4}).requires_grad_();
  Tensor y = x * 2;
  EXPECT_THROW(y.fill_(0), Error);
  EXPECT_THROW(y.copy_(zeros({4})), Error);
  x.fill_(5);  // a leaf
  EXPECT_EQ(x.to_vector<float>()[0], 5);
}

}  // namespace
}  // namespace gradus::test
