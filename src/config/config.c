#include "config/config.h"

#include "base/mem.h"
#include "config/crosscheck.h"
#include "config/keys.h"
#include "config/mapping_load.h"
#include "config/yaml.h"

#include <assert.h>
#include <stdlib.h>

static size_t config_key(const char *path)
{
    size_t index = keys_find(str_of(path));
    assert(index < KEYS_MAX);
    return index;
}

// The folder of a file, with the slash at its end; empty for the current one.
static struct str config_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    return (struct str){path, slash == NULL ? 0 : (size_t)(slash + 1 - path)};
}

// A file with the keys of the mapping, and nothing else.
static struct mapping *config_load_mapping_root(const struct yaml_node *root, const char *path,
                                                struct problems *problems)
{
    if (root == NULL || root->kind != YAML_KIND_MAPPING) {
        struct yaml_place place = {.file = path};
        problems_add(problems, root == NULL ? place : root->place, NULL,
                     "a mapping file holds the key `mapping:`, with the mapping below it");
        return NULL;
    }
    static const char *const names[] = {"mapping", "on_invalid"};
    for (size_t i = 0; i < root->count; i++) {
        const struct yaml_pair *pair = &root->pairs[i];
        bool known =
            str_equal(pair->key, STR("mapping")) || str_equal(pair->key, STR("on_invalid"));
        const char *nearest = known ? NULL : str_nearest(pair->key, names, 2);
        if (nearest != NULL) {
            problems_add(problems, pair->key_place, NULL, "%.*s: unknown key; did you mean %s?",
                         STR_ARG(problems_excerpt(pair->key)), nearest);
        } else if (!known) {
            problems_add(problems, pair->key_place, NULL,
                         "%.*s: unknown key; a mapping file holds only mapping and on_invalid",
                         STR_ARG(problems_excerpt(pair->key)));
        }
    }
    const struct yaml_node *mapping = yaml_get(root, STR("mapping"));
    if (mapping == NULL || (mapping->kind == YAML_KIND_NULL && !mapping->unknown)) {
        problems_add(problems, root->place, "mapping", "is missing, but required");
        return NULL;
    }
    return mapping_load(mapping, yaml_get(root, STR("on_invalid")), problems);
}

static struct mapping *config_load_mapping_file(const char *path, struct problems *problems)
{
    struct yaml_tree *tree = yaml_read_file(path, problems);
    if (tree == NULL) {
        return NULL;
    }
    struct mapping *mapping = config_load_mapping_root(yaml_root(tree), path, problems);
    yaml_destroy(tree);
    return mapping;
}

// Either in the main file or in one of its own.
static void config_load_mapping(struct config *config, const struct keys_seen *seen,
                                struct problems *problems)
{
    size_t file = config_key("mapping_file");
    size_t tree = config_key("mapping");
    size_t on_invalid = config_key("on_invalid");
    bool has_file = seen->nodes[file] != NULL;
    if (has_file && seen->nodes[tree] != NULL) {
        problems_add(problems, seen->places[file], "mapping_file",
                     "stands beside `mapping:`; write one of the two");
    } else if (has_file && seen->nodes[on_invalid] != NULL) {
        problems_add(problems, seen->places[on_invalid], "on_invalid",
                     "belongs beside `mapping:`, in the mapping file");
    } else if (!has_file && seen->nodes[tree] == NULL) {
        problems_add(problems, seen->root, "mapping",
                     "is missing, but required: name its file in mapping_file, or write it here");
    }
    if (seen->nodes[tree] != NULL) {
        config->mapping = mapping_load(seen->nodes[tree], seen->nodes[on_invalid], problems);
    } else if (config->mapping_file != NULL && !seen->broken[file]) {
        config->mapping = config_load_mapping_file(config->mapping_file, problems);
    }
}

static void config_fill(struct config *config, const struct yaml_tree *tree, const char *path,
                        struct problems *problems)
{
    const struct yaml_node *root = yaml_root(tree);
    struct keys_seen *seen = mem_calloc(1, sizeof *seen);
    seen->root = (struct yaml_place){.file = path, .line = 1, .column = 1};
    keys_fill(root, config_directory(path), config, seen, problems);
    crosscheck_run(config, seen, problems);
    config_load_mapping(config, seen, problems);
    free(seen);
}

struct config *config_load(const char *path, struct problems *problems)
{
    struct config *config = mem_calloc(1, sizeof *config);
    struct yaml_tree *tree = yaml_read_file(path, problems);
    if (tree != NULL) {
        config_fill(config, tree, path, problems);
    }
    yaml_destroy(tree);
    if (problems_count(problems) > 0) {
        config_destroy(config);
        return NULL;
    }
    return config;
}

void config_destroy(struct config *config)
{
    if (config != NULL) {
        mapping_destroy(config->mapping);
        keys_free(config);
        free(config);
    }
}
