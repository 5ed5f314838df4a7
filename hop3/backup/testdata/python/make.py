"""Writes a backup as Hop3 (Python) does: run it in this directory."""
import hashlib, io, json, os, pathlib, shutil, tarfile

ID = "20250614_081502_3fa9c1"
out = pathlib.Path(ID)
shutil.rmtree(out, ignore_errors=True)
(out / "addons").mkdir(parents=True)
work = pathlib.Path("work")
shutil.rmtree(work, ignore_errors=True)
for name, text in {
    "src/Procfile": "web: python app.py\n",
    "src/app.py": "print('hello')\n",
    "git/HEAD": "ref: refs/heads/main\n",
    "data/db.sqlite3": "rows",
    "volumes/uploads/a.txt": "upload",
    "log/web.1.log": "line\n",
}.items():
    (work / name).parent.mkdir(parents=True, exist_ok=True)
    (work / name).write_text(text)
os.link(work / "git/HEAD", work / "git/hard")


def tar(name, *members):
    with tarfile.open(out / name, "w:gz") as t:
        for path, arcname in members:
            t.add(work / path, arcname=arcname)


tar("source.tar.gz", ("src", "src"), ("git", "git"))
tar("data.tar.gz", ("data", "data"))
tar("volume-uploads.tar.gz", ("volumes/uploads", "uploads"))
tar("extra.tar.gz", ("log", "log"))
(out / "env.json").write_text(json.dumps({"COLOR": "red", "HOST_NAME": "blog.example.org"}, indent=2))
dump = out / "addons/postgres_blog-db.sql"
dump.write_text("CREATE TABLE t (id int);\nCOPY t (id) FROM stdin;\n1\n2\n\\.\n")
names = sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file())
checksums = {n: "sha256:" + hashlib.sha256((out / n).read_bytes()).hexdigest() for n in names}
(out / "metadata.json").write_text(json.dumps({
    "backup_id": ID,
    "app_name": "blog",
    "created_at": "2025-06-14T08:15:02.123456+00:00",
    "format_version": "1.0",
    "hop3_version": "0.7.2",
    "size_bytes": sum((out / n).stat().st_size for n in names if "/" not in n),
    "checksums": checksums,
    "app_metadata": {"hostname": "blog.example.org", "port": 4321, "run_state": "RUNNING"},
    "addons": [{"type": "postgres", "name": "blog-db", "backup_file": "addons/postgres_blog-db.sql", "size_bytes": dump.stat().st_size}],
    "env_vars_count": 2,
    "expires_after": 0,
    "volumes": [{"name": "uploads", "backup_file": "volume-uploads.tar.gz"}],
    "extra_paths": ["log"],
}, indent=2))
shutil.rmtree(work)
