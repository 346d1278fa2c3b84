// The flags of a program, each bound to a field of its configuration.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <variant>
#include <vector>

#include "examples/common/file.h"

namespace gradus::examples {

using Json = nlohmann::ordered_json;

// What a value must be, beside its type.
struct FlagRule {
  double low = -std::numeric_limits<double>::max();  // NaN and infinities are always refused
  bool above_low = false;                            // low itself is refused too
  double high = std::numeric_limits<double>::max();
  std::vector<std::string> choices = {};  // if any: the value is one of these words
  bool may_change = false;                // when the run is resumed
};

// A field keeps its default unless one of these gives it a value, the later ones winning: the run
// to be resumed, the file of --config, the command line. Wherever it comes from, a value is held to
// the type of its field and to the flag's rule.
class Options {
 public:
  using Field = std::variant<std::int64_t*, std::uint64_t*, double*, std::string*>;

  // Every program has --help; those that make runs --config FILE, --print-config and --resume RUN.
  enum class Kind { run, tool };
  Options(std::string program, std::string description, Kind kind = Kind::run);

  void add(const std::string& name, Field field, const std::string& help, FlagRule rule = {});
  // A word about this invocation: neither part of json() nor accepted in a configuration file.
  void add_unsaved(const std::string& name, std::string* field, const std::string& help,
                   FlagRule rule = {});
  void add_switch(const std::string& name, bool* field, const std::string& help);
  // What is not a flag; without it any such word is refused.
  void add_words(const std::string& name, std::vector<std::string>* field, const std::string& help);

  // Sets the fields. False: --help or --print-config was answered and nothing is left to do. Throws
  // UsageError that names the flag or the file's key and, if it is unknown, the nearest one;
  // DataError if the file or the run cannot be read.
  bool parse(int argc, const char* const* argv);

  // The run of --resume, or "".
  const std::string& resume() const { return resume_; }
  // The saved fields in the order of add().
  Json json() const;

 private:
  struct Flag {
    std::string name;
    Field field;
    std::string help;
    FlagRule rule;
    bool saved;
    std::vector<std::string> given = {};
  };

  bool read_command_line(int argc, const char* const* argv);
  void read_json(const Path& path);
  void refuse_changes(const Json& before) const;

  struct Switch {
    std::string name;
    bool* field;
    std::string help;
  };
  struct Words {
    std::string name;
    std::vector<std::string>* field = nullptr;
    std::string help;
  };

  std::string program_, description_, config_file_, resume_;
  Kind kind_;
  bool print_config_ = false;
  std::vector<Flag> flags_;
  std::vector<Switch> switches_;
  Words words_;
};

}  // namespace gradus::examples
