// The table itself: its values, and that no public operation is missing.
#include "gradus/tests/ops.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>

namespace gradus::test {
namespace {

bool near_kink(double x, const Domain& d) {
  return std::any_of(d.kinks.begin(), d.kinks.end(),
                     [x](double k) { return std::abs(x - k) < 0.15; });
}

Tensor draw(const Shape& shape, const Domain& d, std::mt19937_64& random) {
  const auto n = static_cast<std::size_t>(shape.numel());
  std::vector<double> values(n);
  if (d.distinct) {
    for (std::size_t i = 0; i < n; ++i)
      values[i] = 0.2 * static_cast<double>(i) - 0.1 * static_cast<double>(n) + 0.05;
    std::shuffle(values.begin(), values.end(), random);
    return from_vector(values, shape);
  }
  std::uniform_real_distribution<double> uniform(d.low, d.high);
  for (double& v : values) do
      v = uniform(random);
    while (near_kink(v, d));
  return from_vector(values, shape);
}

}  // namespace

const std::vector<Row>& table() {
  static const std::vector<Row> rows = [] {
    std::vector<Row> all;
    for (auto* part : {elementwise_rows, binary_rows, reduction_rows, view_rows, index_rows,
                       fused_rows, attention_rows, image_rows, linalg_rows})
      for (Row& row : part()) all.push_back(std::move(row));
    return all;
  }();
  return rows;
}

const std::vector<Device>& tested_devices() {
  static const std::vector<Device> devices = [] {
    const char* names = std::getenv("GRADUS_TEST_DEVICES");
    if (!names) return available_devices();
    std::vector<Device> list;
    std::istringstream text(names);
    for (std::string name; std::getline(text, name, ',');) {
      list.push_back(device_named(name));
      require_available(list.back());
    }
    require(!list.empty(), "GRADUS_TEST_DEVICES: names no device");
    return list;
  }();
  return devices;
}

namespace {

// x on a device, in the same layout: all memory that it may reach travels with it.
Tensor moved(const Tensor& x, Device device) {
  if (x.is_contiguous() || x.numel() == 0) return x.to(device);
  const Tensor memory =
      x.alias({x.impl().storage->bytes() / item_size(x.dtype())}, {1}, 0).to(device);
  return record("moved", Here::now(), memory.alias(x.shape(), x.strides(), x.impl().offset),
                wrt(x, [from = x.device()](const Tensor& g) { return g.to(from); }));
}

}  // namespace

const std::vector<Row>& table_on(Device device) {
  if (device == Device::cpu) return table();
  static std::map<int, std::vector<Row>> tables;
  std::vector<Row>& rows = tables[static_cast<int>(device.kind) * 256 + device.index];
  if (rows.empty()) {
    rows = table();
    for (Row& row : rows)
      row.f = [f = row.f, device](const Tensors& x) {
        Tensors there;
        for (const Tensor& t : x) there.push_back(moved(t, device));
        return f(there).to(Device::cpu);
      };
  }
  return rows;
}

Tensors sample_of(const Row& row, const std::vector<Shape>& shapes, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Tensors x;
  for (const Shape& s : shapes)
    x.push_back(draw(s, row.domains[std::min(x.size(), row.domains.size() - 1)], random));
  return x;
}

Row row_of(const char* name, const char* detail, TensorsFunction f, TensorsFunction reference,
           std::vector<std::vector<Shape>> calls, std::vector<Shape> large,
           std::vector<Misuse> misuses) {
  Row row;
  row.name = name;
  row.detail = detail;
  row.f = std::move(f);
  row.reference = std::move(reference);
  row.calls = std::move(calls);
  row.large = std::move(large);
  row.misuses = std::move(misuses);
  return row;
}

Tensors sample(const Row& row, std::size_t call, std::uint64_t seed) {
  return sample_of(row, row.calls[call], seed + 100 * call);
}

Tensors leaves(const Tensors& x, DType dtype) {
  Tensors list;
  for (const Tensor& t : x) list.push_back(leaf(t.detach().to(dtype).clone()));
  return list;
}

namespace {

std::set<std::string> public_names() {
  std::set<std::string> names;
  for (const char* header : {"ops.h", "linalg.h"}) {
    const auto path = std::filesystem::path(GRADUS_SOURCE_DIR) / "autograd" / header;
    std::ifstream file(path);
    EXPECT_TRUE(file) << path;
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const std::regex declaration(R"(GRADUS_API [A-Za-z_:<>]+ ([a-z_0-9]+)\()");
    for (std::sregex_iterator i(text.begin(), text.end(), declaration), end; i != end; ++i)
      names.insert((*i)[1]);
  }
  return names;
}

TEST(Table, HasARowForEachPublicOperation) {
  const std::set<std::string> names = public_names();
  EXPECT_GT(names.size(), 70u);
  std::set<std::string> rows;
  for (const Row& row : table()) rows.insert(row.name);
  for (const std::string& n : names) EXPECT_TRUE(rows.count(n)) << n << " has no row in the table";
  for (const std::string& n : rows) EXPECT_TRUE(names.count(n)) << n << " is not public";
}

TEST(Table, RowsHaveWhatTheLoopsNeed) {
  for_rows_on_cpu([](const Row& row) {
    EXPECT_FALSE(row.calls.empty());
    EXPECT_FALSE(row.large.empty());
    EXPECT_TRUE(row.scalar || row.reference || row.definition) << "no value to compare with";
  });
  std::set<std::string> labels;
  for (const Row& row : table())
    EXPECT_TRUE(labels.insert(row.label()).second) << row.label() << " twice";
}

// Values against formulas that share nothing with the library.
TEST(Table, Values) {
  const NoGrad off;
  for_rows([](const Row& row) {
    for_calls(row, [&](std::size_t call) {
      const Tensors x = sample(row, call);
      const Tensor y = row.f(x);
      Tensor expected;
      if (row.scalar) {
        Shape shape = x[0].shape();
        for (const Tensor& t : x) shape = broadcast_shapes("test", shape, t.shape());
        expected = build(shape, [&](const Shape& i) {
          double v[2];
          for (std::size_t k = 0; k < x.size(); ++k) v[k] = at(x[k], i);
          return row.scalar(v);
        });
      } else {
        expected = row.reference ? row.reference(x) : row.definition(x);
      }
      EXPECT_TRUE(close(y.to(f64), expected, 1e-14 * (row.length ? 10 : 1)));
      if (row.reference && row.definition && y.numel() > 0) {
        EXPECT_TRUE(close(row.definition(x), expected, 1e-13));
      }
    });
  });
}

TEST(Table, ShapesAndDtypesOfResultsInBothPrecisions) {
  const NoGrad off;
  for_rows([](const Row& row) {
    for_calls(row, [&](std::size_t call) {
      const Tensors x = sample(row, call);
      Tensors single;
      for (const Tensor& t : x) single.push_back(t.to(f32));
      const Tensor y = row.f(x), z = row.f(single);
      EXPECT_EQ(y.shape(), z.shape());
      if (row.differentiable) {
        EXPECT_EQ(y.dtype(), f64);
        EXPECT_EQ(z.dtype(), f32);
      }
    });
  });
}

}  // namespace
}  // namespace gradus::test
