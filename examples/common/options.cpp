#include "examples/common/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>

#include "examples/common/errors.h"
#include "examples/common/nearest.h"
#include "examples/common/run_directory.h"

namespace gradus::examples {
namespace {

bool is_utf8(const Json& text) {
  try {
    return !text.dump().empty();
  } catch (const Json::type_error&) {
    return false;
  }
}

template <class T>
void set(T& field, const Json& value, const FlagRule& rule, const auto& refuse_value) {
  bool right_type = false;
  if constexpr (std::is_same_v<T, std::string>) {
    right_type = value.is_string() && is_utf8(value);
  } else if constexpr (std::is_same_v<T, double>) {
    right_type = value.is_number() && std::isfinite(value.get<double>());
  } else if constexpr (std::is_same_v<T, std::uint64_t>) {
    right_type = value.is_number_unsigned();
  } else {
    // Unsigned numbers beyond the signed range would wrap around.
    right_type = value.is_number_integer() &&
                 (!value.is_number_unsigned() || value.get<std::uint64_t>() <= INT64_MAX);
  }
  if (!right_type) refuse_value();
  const T candidate = value.get<T>();
  if constexpr (std::is_same_v<T, std::string>) {
    const auto& choices = rule.choices;
    if (!choices.empty() && std::count(choices.begin(), choices.end(), candidate) == 0)
      refuse_value();
  } else {
    const auto number = static_cast<double>(candidate);
    const bool low = rule.above_low ? number <= rule.low : number < rule.low;
    if (low || number > rule.high) refuse_value();
  }
  field = candidate;
}

// "an integer, at least 1", "one of normal, log-normal", ...
std::string expectation(const Options::Field& field, const FlagRule& rule) {
  std::ostringstream text;
  if (!rule.choices.empty()) {
    text << "one of ";
    for (const auto& choice : rule.choices)
      text << (&choice == rule.choices.data() ? "" : ", ") << choice;
    return text.str();
  }
  if (std::holds_alternative<std::string*>(field)) return "text in UTF-8";
  text << (std::holds_alternative<double*>(field) ? "a finite number" : "an integer");
  if (rule.above_low) text << " above " << rule.low;
  if (!rule.above_low && rule.low > -1e300) text << ", at least " << rule.low;
  if (std::holds_alternative<std::uint64_t*>(field)) text << ", at least 0";
  if (rule.high < 1e300) text << ", at most " << rule.high;
  return text.str();
}

void assign(const Options::Field& field, const FlagRule& rule, const Json& value,
            const std::string& origin) {
  const auto refuse_value = [&] {
    refuse<UsageError>(origin, ": must be ", expectation(field, rule), ": is ",
                       value.is_string() ? value.get<std::string>() : value.dump());
  };
  std::visit([&](auto* target) { set(*target, value, rule, refuse_value); }, field);
}

// The text of a number as that number; any other text as itself, for assign() to refuse.
Json parse_text(const Options::Field& field, const std::string& text) {
  return std::visit(
      [&](auto* target) -> Json {
        using T = std::decay_t<decltype(*target)>;
        if constexpr (!std::is_same_v<T, std::string>) {
          T number{};
          const char* end = text.data() + text.size();
          const auto [stop, error] = std::from_chars(text.data(), end, number);
          if (error == std::errc() && stop == end && std::isfinite(static_cast<double>(number))) {
            // Non-negative integers must arrive as unsigned ones, as from a JSON file.
            return Json::parse(Json(number).dump());
          }
        }
        return text;
      },
      field);
}

Json parse_file(const Path& path) {
  std::set<std::string> seen;
  const auto refuse_repeated = [&](int depth, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::key && depth == 1 && !seen.insert(value).second) {
      refuse<UsageError>(path.string(), ": key ", value.get<std::string>(), " appears twice");
    }
    return true;
  };
  try {
    Json values = Json::parse(read_text(path), refuse_repeated);
    if (!values.is_object()) refuse<UsageError>(path.string(), ": must be a JSON object");
    return values;
  } catch (const Json::exception& error) {
    refuse<DataError>(path.string(), ": is not JSON: ", error.what());
  }
}

}  // namespace

Options::Options(std::string program, std::string description, Kind kind)
    : program_(std::move(program)), description_(std::move(description)), kind_(kind) {}

void Options::add(const std::string& name, Field field, const std::string& help, FlagRule rule) {
  flags_.push_back({name, field, help, std::move(rule), true});
}

void Options::add_unsaved(const std::string& name, std::string* field, const std::string& help,
                          FlagRule rule) {
  flags_.push_back({name, field, help, std::move(rule), false});
}

void Options::add_switch(const std::string& name, bool* field, const std::string& help) {
  switches_.push_back({name, field, help});
}

void Options::add_words(const std::string& name, std::vector<std::string>* field,
                        const std::string& help) {
  words_ = {name, field, help};
}

bool Options::read_command_line(int argc, const char* const* argv) {
  CLI::App app(description_, program_);
  app.allow_extras();
  app.get_formatter()->column_width(36);
  for (Flag& flag : flags_) {
    Json now;
    std::visit([&](auto* field) { now = *field; }, flag.field);
    const bool choice = !flag.rule.choices.empty();
    auto* option = app.add_option("--" + flag.name, flag.given, flag.help);
    if (choice) option->description(flag.help + ", " + expectation(flag.field, flag.rule));
    option->type_name(now.is_string() ? "TEXT" : now.is_number_float() ? "NUMBER" : "INT");
    option->default_str(now.is_string() ? now.get<std::string>() : now.dump());
    option->expected(1)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    option->allow_extra_args(false);  // words that follow are not its own
  }
  for (const Switch& one : switches_) app.add_flag("--" + one.name, *one.field, one.help);
  if (words_.field) app.add_option(words_.name, *words_.field, words_.help);
  if (kind_ == Kind::run) {
    app.add_option("--config", config_file_,
                   "JSON file with any of the values above; flags win over it");
    app.add_flag("--print-config", print_config_, "print the configuration as JSON and exit");
    app.add_option("--resume", resume_, "continue this run (its name under runs/, or its folder)");
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help() << std::flush;
    return false;
  } catch (const CLI::ParseError& error) {
    throw UsageError(error.what());
  }
  for (const std::string& extra : app.remaining()) {
    if (extra.rfind("--", 0) != 0) refuse<UsageError>("unexpected argument ", extra);
    const std::string name = extra.substr(0, extra.find('='));
    std::vector<std::string> known{"--help"};
    if (kind_ == Kind::run) known.insert(known.end(), {"--config", "--print-config", "--resume"});
    for (const Switch& one : switches_) known.push_back("--" + one.name);
    for (const Flag& flag : flags_) known.push_back("--" + flag.name);
    refuse<UsageError>("unknown flag ", name, hint(name, known));
  }
  return true;
}

void Options::read_json(const Path& path) {
  const Json values = parse_file(path);
  for (const auto& [key, value] : values.items()) {
    const auto flag = std::find_if(
        flags_.begin(), flags_.end(),
        [&name = key](const Flag& candidate) { return candidate.saved && candidate.name == name; });
    if (flag == flags_.end()) {
      std::vector<std::string> known;
      for (const Flag& candidate : flags_) {
        if (candidate.saved) known.push_back(candidate.name);
      }
      refuse<UsageError>(path.string(), ": unknown key ", key, hint(key, known));
    }
    assign(flag->field, flag->rule, value, path.string() + ": " + key);
  }
}

void Options::refuse_changes(const Json& before) const {
  const Json now = json();
  std::string free;
  for (const Flag& flag : flags_) {
    if (flag.rule.may_change) free += (free.empty() ? "" : ", ") + flag.name;
  }
  for (const Flag& flag : flags_) {
    if (!flag.saved || flag.rule.may_change || before[flag.name] == now[flag.name]) continue;
    refuse<UsageError>("--resume ", resume_, ": the run was made with ", flag.name, " ",
                       before[flag.name].dump(), ", not ", now[flag.name].dump(),
                       " (what may change: ", free, ")");
  }
}

bool Options::parse(int argc, const char* const* argv) {
  if (!read_command_line(argc, argv)) return false;
  if (!resume_.empty()) read_json(RunDirectory::open(resume_).file("config.json"));
  const Json before = json();
  if (!config_file_.empty()) read_json(config_file_);
  for (const Flag& flag : flags_) {
    for (const auto& text : flag.given) {
      assign(flag.field, flag.rule, parse_text(flag.field, text), "--" + flag.name);
    }
  }
  if (!resume_.empty()) refuse_changes(before);
  if (print_config_) std::cout << json().dump(2) << std::endl;
  return !print_config_;
}

Json Options::json() const {
  Json values = Json::object();
  for (const Flag& flag : flags_) {
    if (flag.saved) std::visit([&](auto* field) { values[flag.name] = *field; }, flag.field);
  }
  return values;
}

}  // namespace gradus::examples
