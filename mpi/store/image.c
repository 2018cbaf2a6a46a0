/* A whole results file. HDF5 makes it in memory: the library never meets a full disk,
 * which it does not survive cleanly, and the bytes go out with plain writes. The index
 * goes into the user block before it. */
#include <hdf5.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/file.h"
#include "store/provenance.h"

/* An attribute lies in an object header, which holds less than 64 KiB. */
enum { MOST_ATTRIBUTE = 60000, IMAGE_STEP = 1 << 20 };

static void drop(hid_t id)
{
    if (id >= 0)
        H5Idec_ref(id);
}

/* Fixed-size UTF-8, padded with zeros. */
static hid_t text_type(size_t bytes)
{
    hid_t type = H5Tcopy(H5T_C_S1);

    if (type >= 0 &&
        (H5Tset_size(type, bytes) < 0 || H5Tset_cset(type, H5T_CSET_UTF8) < 0 ||
         H5Tset_strpad(type, H5T_STR_NULLPAD) < 0)) {
        drop(type);
        type = -1;
    }
    return type;
}

static hid_t column_type(const pal_column_t *column, int32_t width)
{
    switch (column->storage) {
    case PAL_F64:
        return H5Tcopy(H5T_NATIVE_DOUBLE);
    case PAL_I32:
        return H5Tcopy(H5T_NATIVE_INT32);
    case PAL_I64:
        return H5Tcopy(H5T_NATIVE_INT64);
    case PAL_U8:
        return H5Tcopy(H5T_NATIVE_UINT8);
    case PAL_U32:
        return H5Tcopy(H5T_NATIVE_UINT32);
    default:
        return text_type((size_t)width);
    }
}

static int add_attribute(hid_t object, const char *name, const char *text,
                         pal_error_t *err)
{
    size_t n = strlen(text);
    hid_t type, space, attribute = -1;
    int rc = PAL_OK;

    if (n > MOST_ATTRIBUTE)
        return PAL_REJECT(err, "%s of %zu bytes; the results file keeps at most %d",
                          name, n, MOST_ATTRIBUTE);
    type = text_type(n ? n : 1);
    space = H5Screate(H5S_SCALAR);
    if (type >= 0 && space >= 0)
        attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    if (attribute < 0 || H5Awrite(attribute, type, text) < 0)
        rc = PAL_FAIL(err, PAL_EIO, "HDF5 could not make the attribute %s", name);
    drop(attribute);
    drop(space);
    drop(type);
    return rc;
}

/* Widest text of a column, at least 1; -1 when memory is out. */
static int32_t longest_text(pal_plan_t *plan, const pal_column_t *column)
{
    int32_t rows = pal_table_rows(plan, column->table), longest = 1;
    pal_cell_t cell;

    for (int32_t row = 0; row < rows; row++) {
        const char *text;

        pal_cell_set(&cell, plan, column->table, row);
        text = column->text(&cell);
        if (!text)
            return -1;
        if (strlen(text) > (size_t)longest)
            longest = (int32_t)strlen(text);
    }
    return longest;
}

static int32_t width_of(pal_plan_t *plan, const pal_column_t *column)
{
    return column->extent == PAL_LONGEST ? longest_text(plan, column)
                                         : pal_column_width(column, plan);
}

static void store_number(const pal_column_t *column, double value, void *out)
{
    switch (column->storage) {
    case PAL_I32:
        *(int32_t *)out = (int32_t)value;
        break;
    case PAL_I64:
        *(int64_t *)out = (int64_t)value;
        break;
    default:
        *(double *)out = value;
    }
}

/* A plan column's values, a blank column's blanks: rows * width values. */
static int fill(pal_plan_t *plan, const pal_column_t *column, int32_t width,
                uint8_t *out)
{
    int32_t rows = pal_table_rows(plan, column->table);
    size_t stride = pal_storage_size(column->storage) * (size_t)width;
    pal_cell_t cell;
    int rc = PAL_OK;

    for (int32_t row = 0; row < rows && rc == PAL_OK; row++, out += stride) {
        pal_column_blank(column, out, width);
        if (column->source != PAL_FROM_PLAN)
            continue;
        pal_cell_set(&cell, plan, column->table, row);
        if (column->number) {
            store_number(column, column->number(&cell), out);
        } else if (column->facts) {
            rc = column->facts(&cell, out);
        } else {
            const char *text = column->text(&cell);

            if (text)
                memcpy(out, text, strlen(text));
            else
                rc = PAL_ENOMEM;
        }
    }
    return rc;
}

static hid_t make_dataset(hid_t file, const pal_column_t *column, hid_t type,
                          hid_t space)
{
    hid_t plist = H5Pcreate(H5P_DATASET_CREATE), dataset = -1;
    char path[96];

    snprintf(path, sizeof path, "%s/%s", pal_table_path(column->table), column->name);
    if (plist >= 0 && H5Pset_layout(plist, H5D_CONTIGUOUS) >= 0 &&
        H5Pset_alloc_time(plist, H5D_ALLOC_TIME_EARLY) >= 0 &&
        H5Pset_fill_time(plist, H5D_FILL_TIME_NEVER) >= 0 &&
        H5Pset_obj_track_times(plist, 0) >= 0)
        dataset = H5Dcreate2(file, path, type, space, H5P_DEFAULT, plist, H5P_DEFAULT);
    drop(plist);
    return dataset;
}

static int make_column(hid_t file, pal_plan_t *plan, const pal_column_t *column,
                       pal_span_t *span, pal_error_t *err)
{
    int32_t rows = pal_table_rows(plan, column->table), width = width_of(plan, column);
    hsize_t dims[2] = {(hsize_t)rows, (hsize_t)width};
    int several = column->extent != PAL_ONE && column->extent != PAL_LONGEST;
    size_t bytes = (size_t)rows * (size_t)width * pal_storage_size(column->storage);
    uint8_t *values = width > 0 ? malloc(bytes + 1) : NULL;
    hid_t type = -1, space = -1, dataset = -1;
    int rc;

    if (!values || fill(plan, column, width, values) != PAL_OK) {
        rc = PAL_FAIL(err, PAL_ENOMEM, "%zu bytes for the column %s", bytes,
                      column->name);
        goto out;
    }
    if ((type = column_type(column, width)) < 0 ||
        (space = H5Screate_simple(several ? 2 : 1, dims, NULL)) < 0 ||
        (dataset = make_dataset(file, column, type, space)) < 0 ||
        H5Dwrite(dataset, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) {
        rc = PAL_FAIL(err, PAL_EIO, "HDF5 could not make the column %s/%s",
                      pal_table_path(column->table), column->name);
        goto out;
    }
    span->offset = rows > 0 ? (int64_t)H5Dget_offset(dataset) : 0;
    span->width = width;
    span->sealed = column->source == PAL_FROM_PLAN;
    span->crc = pal_crc32(0, values, bytes);
    rc = add_attribute(dataset, "units", column->unit, err);
    if (rc == PAL_OK)
        rc = add_attribute(dataset, "long_name", column->label, err);
out:
    drop(dataset);
    drop(space);
    drop(type);
    free(values);
    return rc;
}

static int make_groups(hid_t file, pal_error_t *err)
{
    for (int i = -1; i < PAL_TABLES; i++) {
        const char *path = i < 0 ? "/run" : pal_table_path((pal_table_t)i);
        hid_t group = H5Gcreate2(file, path, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);

        if (group < 0)
            return PAL_FAIL(err, PAL_EIO, "HDF5 could not make the group %s", path);
        drop(group);
    }
    return PAL_OK;
}

static char *attribute_value(const pal_plan_t *plan, const char *config, int i)
{
    char text[256] = "", *copy;
    const char *value = text;

    if (i == PAL_ATTRIBUTE_schema)
        snprintf(text, sizeof text, "%d", PAL_STORE_SCHEMA);
    else if (i == PAL_ATTRIBUTE_code_schema)
        snprintf(text, sizeof text, "%d", PAL_CODE_SCHEMA);
    else if (i == PAL_ATTRIBUTE_hdf5)
        snprintf(text, sizeof text, "%s", H5_VERS_INFO);
    else if (i == PAL_ATTRIBUTE_plan)
        pal_key_text(plan->key, text);
    else if (i == PAL_ATTRIBUTE_sweep)
        value = plan->name;
    else if (i == PAL_ATTRIBUTE_config)
        value = config;
    else
        pal_provenance(pal_attribute_names[i], text, sizeof text);
    copy = malloc(strlen(value) + 1);
    return copy ? strcpy(copy, value) : NULL;
}

/* What the index says, but for where the columns lie. */
static int begin_index(pal_store_t *index, const pal_plan_t *plan, const char *config,
                       pal_error_t *err)
{
    index->spans = calloc((size_t)pal_column_count(), sizeof *index->spans);
    if (!index->spans)
        return PAL_FAIL(err, PAL_ENOMEM, "an index");
    for (int t = 0; t < PAL_TABLES; t++)
        index->rows[t] = pal_table_rows(plan, (pal_table_t)t);
    for (int i = 0; i < PAL_ATTRIBUTE_COUNT; i++) {
        index->attributes[i] = attribute_value(plan, config, i);
        if (!index->attributes[i])
            return PAL_FAIL(err, PAL_ENOMEM, "an attribute");
    }
    return PAL_OK;
}

static void free_index(pal_store_t *index)
{
    for (int i = 0; i < PAL_ATTRIBUTE_COUNT; i++)
        free(index->attributes[i]);
    free(index->spans);
}

static int make_file(hid_t file, pal_plan_t *plan, pal_store_t *index, pal_error_t *err)
{
    int rc = make_groups(file, err);

    for (int i = 0; i < PAL_ATTRIBUTE_COUNT && rc == PAL_OK; i++)
        rc = add_attribute(file, pal_attribute_names[i], index->attributes[i], err);
    for (int i = 0; i < pal_column_count() && rc == PAL_OK; i++)
        rc = make_column(file, plan, pal_column_at(i), &index->spans[i], err);
    return rc;
}

static hid_t open_memory(size_t room)
{
    hid_t access = H5Pcreate(H5P_FILE_ACCESS), creation = H5Pcreate(H5P_FILE_CREATE);
    hid_t file = -1;

    if (access >= 0 && creation >= 0 && H5Pset_fapl_core(access, IMAGE_STEP, 0) >= 0 &&
        H5Pset_userblock(creation, room) >= 0)
        file = H5Fcreate("results", H5F_ACC_TRUNC, creation, access);
    drop(creation);
    drop(access);
    return file;
}

/* The index, then what HDF5 made. */
static int join(hid_t file, pal_store_t *index, size_t room, uint8_t **image,
                size_t *size, pal_error_t *err)
{
    ssize_t n =
        H5Fflush(file, H5F_SCOPE_GLOBAL) < 0 ? -1 : H5Fget_file_image(file, NULL, 0);
    uint8_t *bytes = n > 0 ? calloc(1, room + (size_t)n) : NULL;

    if (!bytes || H5Fget_file_image(file, bytes + room, (size_t)n) != n) {
        free(bytes);
        return PAL_FAIL(err, PAL_ENOMEM, "%zd bytes for the results file", n);
    }
    pal_index_print(index, room + (size_t)n, (char *)bytes, room);
    *image = bytes;
    *size = room + (size_t)n;
    return PAL_OK;
}

int pal_store_image(pal_plan_t *plan, const char *config, uint8_t **image, size_t *size,
                    pal_error_t *err)
{
    pal_store_t index = {0};
    hid_t file = -1;
    size_t room;
    int rc = begin_index(&index, plan, config, err);

    if (rc != PAL_OK)
        goto out;
    room = pal_index_room(&index);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    file = open_memory(room);
    if (file < 0)
        rc = PAL_FAIL(err, PAL_EIO, "HDF5 could not make a file in memory");
    else
        rc = make_file(file, plan, &index, err);
    if (rc == PAL_OK)
        rc = join(file, &index, room, image, size, err);
out:
    drop(file);
    free_index(&index);
    return rc;
}

double pal_store_bytes(pal_plan_t *plan)
{
    enum { INDEX = 16384, HEADER = 470 }; /* HDF5's own bytes for a dataset */
    double bytes = INDEX;

    for (int i = 0; i < pal_column_count(); i++) {
        const pal_column_t *column = pal_column_at(i);

        bytes += HEADER + (double)pal_table_rows(plan, column->table) *
                              (double)pal_storage_size(column->storage) *
                              width_of(plan, column);
    }
    return bytes;
}
