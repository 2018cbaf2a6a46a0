/* Where everything lies in a results file. HDF5 opens it, read only, for that moment. */
#include <hdf5.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_file.h"

enum { MOST_TEXT = 1 << 16 };

static void drop(hid_t id)
{
    if (id >= 0)
        H5Idec_ref(id);
}

/* Before HDF5 parses anything: the signature, and the length the superblock (version 0,
 * HDF5 File Format Specification II.A) states. */
static int check_superblock(const pal_store_t *store, pal_error_t *err)
{
    static const uint8_t signature[9] = "\211HDF\r\n\032\n\0";
    uint8_t block[48];
    uint64_t length = 0;
    struct stat file;

    if (fstat(store->fd, &file) != 0 || !S_ISREG(file.st_mode))
        return PAL_REJECT(err, "%s: not a file", store->path);
    if (pread(store->fd, block, sizeof block, 0) != (ssize_t)sizeof block ||
        memcmp(block, signature, sizeof signature) != 0)
        return PAL_REJECT(err, "%s: not a results file of palimpsest (%lld bytes that do "
                          "not begin as one)", store->path, (long long)file.st_size);
    for (int i = 7; i >= 0; i--)
        length = length << 8 | block[40 + i];
    if (length > (uint64_t)file.st_size)
        return PAL_REJECT(err, "%s: truncated: %lld bytes of %llu", store->path,
                          (long long)file.st_size, (unsigned long long)length);
    return PAL_OK;
}

/* The value of a text attribute, malloc'ed; NULL if there is no such. */
static char *read_attribute(hid_t file, const char *name)
{
    hid_t attribute = -1, type = -1, memory = -1;
    char *text = NULL;
    size_t n;

    if (H5Aexists(file, name) <= 0)
        return NULL;
    attribute = H5Aopen(file, name, H5P_DEFAULT);
    type = attribute < 0 ? -1 : H5Aget_type(attribute);
    if (type < 0 || H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0 ||
        H5Aget_storage_size(attribute) != H5Tget_size(type))
        goto out;
    n = H5Tget_size(type);
    memory = H5Tcopy(type);
    text = n <= MOST_TEXT ? calloc(1, n + 1) : NULL;
    if (text && (memory < 0 || H5Aread(attribute, memory, text) < 0)) {
        free(text);
        text = NULL;
    }
out:
    drop(memory);
    drop(type);
    drop(attribute);
    return text;
}

static int read_attributes(pal_store_t *store, hid_t file, pal_error_t *err)
{
    const char *schema;

    for (int i = 0; i < PAL_ATTRIBUTE_COUNT; i++)
        store->attributes[i] = read_attribute(file, pal_attribute_names[i]);
    schema = store->attributes[PAL_ATTRIBUTE_schema];
    if (!schema || !store->attributes[PAL_ATTRIBUTE_plan])
        return PAL_REJECT(err, "%s: an HDF5 file, but not a results file of palimpsest (no "
                          "attribute '%s')", store->path, schema ? "plan" : "schema");
    if (atoi(schema) != PAL_STORE_SCHEMA)
        return PAL_REJECT(err, "%s: written with schema '%.20s'; this program reads schema "
                          "%d", store->path, schema, PAL_STORE_SCHEMA);
    for (int i = 0; i < PAL_ATTRIBUTE_COUNT; i++)
        if (!store->attributes[i] && !(store->attributes[i] = calloc(1, 1)))
            return PAL_FAIL(err, PAL_ENOMEM, "an attribute");
    return PAL_OK;
}

static int type_fits(hid_t type, pal_storage_t storage)
{
    switch (storage) {
    case PAL_F64:
        return H5Tequal(type, H5T_NATIVE_DOUBLE) > 0;
    case PAL_I32:
        return H5Tequal(type, H5T_NATIVE_INT32) > 0;
    case PAL_I64:
        return H5Tequal(type, H5T_NATIVE_INT64) > 0;
    case PAL_U8:
        return H5Tequal(type, H5T_NATIVE_UINT8) > 0;
    case PAL_U32:
        return H5Tequal(type, H5T_NATIVE_UINT32) > 0;
    default:
        return H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0;
    }
}

/* Contiguous, of the right type, as many rows as its table, inside the file. */
static int measure(pal_store_t *store, int i, hid_t dataset, hid_t type, hid_t space,
                   hid_t plist, int64_t length)
{
    const pal_column_t *column = pal_column_at(i);
    int several = column->extent != PAL_ONE && column->extent != PAL_LONGEST;
    hsize_t dims[2] = {0, 1};
    uint64_t width;
    haddr_t offset;

    if (!type_fits(type, column->storage) || H5Pget_layout(plist) != H5D_CONTIGUOUS ||
        H5Sget_simple_extent_ndims(space) != 1 + several ||
        H5Sget_simple_extent_dims(space, dims, NULL) != 1 + several)
        return 0;
    width = column->storage == PAL_STRING ? H5Tget_size(type) : dims[1];
    offset = H5Dget_offset(dataset);
    if (store->rows[column->table] < 0 && dims[0] <= INT32_MAX)
        store->rows[column->table] = (int32_t)dims[0];
    if (dims[0] != (hsize_t)store->rows[column->table] || width > INT32_MAX)
        return 0;
    store->spans[i].width = (int32_t)width;
    store->spans[i].stride = (size_t)width * pal_storage_size(column->storage);
    if (dims[0] == 0 || width == 0)
        return 1;
    store->spans[i].offset = (int64_t)offset;
    return offset < (uint64_t)length &&
           store->spans[i].stride <= ((uint64_t)length - offset) / dims[0];
}

static int find_column(pal_store_t *store, hid_t file, int i, int64_t length,
                       pal_error_t *err)
{
    const pal_column_t *column = pal_column_at(i);
    hid_t group, dataset = -1, type = -1, space = -1, plist = -1;
    int fits = 0;

    group = H5Gopen2(file, pal_table_path(column->table), H5P_DEFAULT);
    if (group >= 0)
        dataset = H5Dopen2(group, column->name, H5P_DEFAULT);
    if (dataset >= 0) {
        type = H5Dget_type(dataset);
        space = H5Dget_space(dataset);
        plist = H5Dget_create_plist(dataset);
        fits = type >= 0 && space >= 0 && plist >= 0 &&
               measure(store, i, dataset, type, space, plist, length);
    }
    drop(plist);
    drop(space);
    drop(type);
    drop(dataset);
    drop(group);
    if (fits)
        return PAL_OK;
    return PAL_REJECT(err, "%s: column %s/%s is %s", store->path,
                      pal_table_path(column->table), column->name,
                      dataset < 0 ? "missing" : "not of its type, shape or place");
}

static hid_t open_file(const char *path)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), file = -1;

    if (access < 0)
        return -1;
#if H5_VERSION_GE(1, 10, 7)
    /* Some mounts cannot lock; ours is a lock of its own (store_open.c). */
    if (H5Pset_file_locking(access, 0, 1) < 0) {
        drop(access);
        return -1;
    }
#endif
    file = H5Fopen(path, H5F_ACC_RDONLY, access);
    drop(access);
    return file;
}

int pal_store_index(pal_store_t *store, pal_error_t *err)
{
    struct stat ours, theirs;
    hid_t file = -1;
    int rc = check_superblock(store, err);

    if (rc != PAL_OK)
        return rc;
    for (int i = 0; i < PAL_TABLES; i++)
        store->rows[i] = -1;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    file = open_file(store->path);
    if (file < 0)
        return PAL_REJECT(err, "%s: HDF5 cannot open it: damaged, or not a results file",
                          store->path);
    rc = read_attributes(store, file, err);
    if (rc == PAL_OK && (fstat(store->fd, &ours) != 0 || stat(store->path, &theirs) != 0 ||
                         ours.st_ino != theirs.st_ino || ours.st_dev != theirs.st_dev))
        rc = PAL_FAIL(err, PAL_EIO, "%s was replaced while it was opened; try again",
                      store->path);
    for (int i = 0; i < pal_column_count() && rc == PAL_OK; i++)
        rc = find_column(store, file, i, (int64_t)ours.st_size, err);
    H5Fclose(file);
    return rc;
}
