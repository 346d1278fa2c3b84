#include "examples/common/images.h"

#include <algorithm>
#include <cmath>

#include "examples/common/errors.h"
#include "examples/common/file.h"
#include "examples/common/idx.h"

namespace gradus::examples {
namespace {

Path find_file(const Path& folder, const std::string& name) {
  for (const char* ending : {"", ".gz"}) {
    const Path path = folder / (name + ending);
    if (std::filesystem::exists(path)) return path;
  }
  refuse<DataError>((folder / name).string(),
                    "[.gz]: no such file (--data wants a folder with the four "
                    "IDX files of the MNIST family, or synthetic)");
}

LabelledImages load_part(const Path& folder, const std::string& part) {
  const Path images_path = find_file(folder, part + "-images-idx3-ubyte");
  const Path labels_path = find_file(folder, part + "-labels-idx1-ubyte");
  Idx images = read_idx(images_path), labels = read_idx(labels_path);
  if (images.shape.size() != 3)
    refuse<DataError>(images_path.string(), ": holds labels, not images");
  if (labels.shape.size() != 1)
    refuse<DataError>(labels_path.string(), ": holds images, not labels");
  if (images.values.empty()) refuse<DataError>(images_path.string(), ": holds no images");
  if (images.shape[0] != labels.shape[0]) {
    refuse<DataError>(folder.string(), ": ", images.shape[0], " ", part, " images but ",
                      labels.shape[0], " labels");
  }
  return {images.shape[0], images.shape[1], images.shape[2], std::move(images.values),
          std::move(labels.values)};
}

// SplitMix64: enough randomness for pictures, and the same on every machine.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  double uniform(double low, double high) {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return low + (high - low) * std::ldexp(static_cast<double>((z ^ z >> 31) >> 11), -53);
  }

 private:
  std::uint64_t state_;
};

double segment(double x, double y, double half) {
  return std::hypot(std::max(std::abs(x) - half, 0.0), y);
}

// Distance from (x, y) to the strokes of a shape about as large as the unit circle.
double distance(int kind, double x, double y) {
  const double radius = std::hypot(x, y);
  const double square = std::max(std::abs(x), std::abs(y));
  switch (kind) {
    case 0:
      return std::abs(radius - 0.8);  // ring
    case 1:
      return segment(y, x, 0.9);  // bar
    case 2:
      return std::min(segment(y, x, 0.8), segment(x, y, 0.8));  // cross
    case 3:
      return std::abs(square - 0.7);  // frame
    case 4:
      return std::min(segment(x, y - 0.5, 0.8), segment(x, y + 0.5, 0.8));  // two bars
    case 5:
      return std::max(radius - 0.7, 0.0);  // disc
    case 6:
      return std::min(segment(x, y + 0.7, 0.7), segment(y, x, 0.7));  // T
    case 7:
      return std::min(segment(x, y + 0.7, 0.7), segment(y, x + 0.7, 0.7));  // corner
    case 8:
      return std::min(std::hypot(x, y - 0.6), std::hypot(x, y + 0.6)) - 0.2;  // two dots
    default:
      return y < 0 ? std::abs(radius - 0.8) : std::hypot(std::abs(x) - 0.8, y);  // arch
  }
}

void draw(Random& random, int kind, std::int64_t size, std::uint8_t* pixels) {
  const double center = 0.5 * static_cast<double>(size - 1);
  const double middle_x = center + random.uniform(-2.5, 2.5);
  const double middle_y = center + random.uniform(-2.5, 2.5);
  const double scale = random.uniform(6.5, 10.0), thickness = random.uniform(1.0, 2.2);
  const double angle = random.uniform(-0.35, 0.35), brightness = random.uniform(160, 255);
  const double cosine = std::cos(angle), sine = std::sin(angle);
  for (std::int64_t row = 0; row < size; ++row) {
    for (std::int64_t column = 0; column < size; ++column) {
      const double x = (static_cast<double>(column) - middle_x) / scale;
      const double y = (static_cast<double>(row) - middle_y) / scale;
      const double away = distance(kind, cosine * x + sine * y, cosine * y - sine * x) * scale;
      const double cover = std::clamp(thickness + 0.5 - away, 0.0, 1.0);
      *pixels++ = static_cast<std::uint8_t>(brightness * cover + 0.5);
    }
  }
}

LabelledImages draw_many(std::int64_t count, std::uint64_t seed) {
  constexpr std::int64_t size = 28;
  Random random(seed);
  LabelledImages images{count, size, size, {}, {}};
  images.pixels.resize(static_cast<std::size_t>(count * size * size));
  for (std::int64_t i = 0; i < count; ++i) {
    const int kind = static_cast<int>(i % 10);
    images.labels.push_back(static_cast<std::uint8_t>(kind));
    draw(random, kind, size, images.pixels.data() + i * size * size);
  }
  return images;
}

}  // namespace

ImageSet load_images(const std::string& where) {
  if (where == "synthetic") return synthetic_images();
  ImageSet set{load_part(where, "train"), load_part(where, "t10k")};
  if (set.train.rows != set.test.rows || set.train.columns != set.test.columns) {
    refuse<DataError>(where, ": images differ in size: train ", set.train.rows, " x ",
                      set.train.columns, ", test ", set.test.rows, " x ", set.test.columns);
  }
  return set;
}

ImageSet synthetic_images() { return {draw_many(2000, 1), draw_many(500, 2)}; }

}  // namespace gradus::examples
