#include "core/error.h"
#include "runner/commands.h"
#include "runner/lease.h"
#include "runner/look.h"
#include "runner/progress.h"
#include "runner/store_tools.h"

#include <cstdio>
#include <memory>
#include <numeric>

namespace assay {
namespace {

using nlohmann::json;

constexpr int kProblems = 1;

struct StoreArguments {
  Places places;
  bool json = false, remove = false;
};

int check_command(const StoreArguments& arguments) {
  const Workspace workspace = arguments.places.paths();
  const std::vector<std::string> problems =
      check_workspace(open_store(arguments.places), workspace);
  if (arguments.json) {
    fmt::print("{}\n",
               json{{"workspace", workspace.root.string()}, {"problems", problems}}.dump(2));
  } else {
    for (const std::string& problem : problems) fmt::print("{}\n", problem);
    say(stderr, problems.empty() ? "all is well: store, results and digests agree\n"
                                 : fmt::format("{} problem{}\n", problems.size(),
                                               problems.size() == 1 ? "" : "s"));
  }
  return problems.empty() ? 0 : kProblems;
}

int gc_command(const StoreArguments& arguments) {
  const Workspace workspace = arguments.places.paths();
  Store store = open_store(arguments.places);
  // Held to the end: nothing that a coordinator uses is removed, and none starts meanwhile.
  std::unique_ptr<WorkspaceLease> lease;
  if (arguments.remove) lease = std::make_unique<WorkspaceLease>(workspace.root, "assay store gc");
  const std::vector<Garbage> garbage = find_garbage(store, workspace);
  const std::uintmax_t bytes =
      std::accumulate(garbage.begin(), garbage.end(), std::uintmax_t{0},
                      [](std::uintmax_t sum, const Garbage& item) { return sum + item.bytes; });
  if (arguments.json) {
    json items = json::array();
    for (const Garbage& item : garbage) {
      items.push_back({{"path", item.path.string()}, {"why", item.why}, {"bytes", item.bytes}});
    }
    fmt::print("{}\n", json{{"removed", arguments.remove}, {"items", items}}.dump(2));
  } else {
    for (const Garbage& item : garbage) {
      fmt::print("{:>10}  {}  ({})\n", size_text(static_cast<double>(item.bytes)),
                 item.path.string(), item.why);
    }
  }
  if (arguments.remove) remove_garbage(garbage, store);
  say(stderr,
      garbage.empty()
          ? "nothing to remove: studies need all that is here\n"
          : fmt::format("{} in {} places {}\n", size_text(static_cast<double>(bytes)),
                        garbage.size(), arguments.remove ? "removed" : "to remove; --delete does"));
  return 0;
}

int rebuild_command(const StoreArguments& arguments) {
  const Workspace workspace = arguments.places.paths();
  if (!std::filesystem::is_directory(workspace.root / "jobs")) {
    throw ConfigError("{}: has no folder 'jobs' to rebuild a store from; name a --workspace",
                      workspace.root.string());
  }
  const WorkspaceLease lease(workspace.root, "assay store rebuild");
  const Rebuilt rebuilt = rebuild_store(workspace);
  if (arguments.json) {
    fmt::print("{}\n", json{{"jobs", rebuilt.jobs},
                            {"done", rebuilt.done},
                            {"attempts", rebuilt.attempts},
                            {"metrics", rebuilt.metrics},
                            {"problems", rebuilt.problems},
                            {"former", rebuilt.former.string()}}
                           .dump(2));
  } else {
    for (const std::string& problem : rebuilt.problems) fmt::print("{}\n", problem);
  }
  say(stderr, fmt::format("{} jobs, {} of them done, {} attempts, {} numbers; {}'assay run "
                          "STUDY.toml' names a study again, and starts nothing that is done\n",
                          rebuilt.jobs, rebuilt.done, rebuilt.attempts, rebuilt.metrics,
                          rebuilt.former.empty()
                              ? ""
                              : fmt::format("the store before is {}; ", rebuilt.former.string())));
  return rebuilt.problems.empty() ? 0 : kProblems;
}

Command add(CLI::App& store,
            const char* name,
            const char* help,
            int (*run)(const StoreArguments& arguments)) {
  const auto arguments = std::make_shared<StoreArguments>();
  CLI::App* command = store.add_subcommand(name, help);
  add_workspace(*command, arguments->places);
  command->add_flag("--json", arguments->json, "for machines");
  if (run == gc_command) command->add_flag("--delete", arguments->remove, "remove what is listed");
  set_example(*command, fmt::format("assay store {} -w demo/workspace", name));
  return {command, [arguments, run] { return run(*arguments); }};
}

}  // namespace

std::vector<Command> add_store_commands(CLI::App& app) {
  CLI::App* store = app.add_subcommand("store", "check, rebuild and clean a workspace");
  store->require_subcommand(1);
  set_example(*store, "assay store check -w demo/workspace");
  return {add(*store, "check", "compare store, results and digests; every problem, exit 1",
              check_command),
          add(*store, "rebuild", "make store.db again from the job folders", rebuild_command),
          add(*store, "gc", "list what no study needs; --delete removes it", gc_command)};
}

}  // namespace assay
