package git

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// Objects above this size are streamed from disk when go-git reads them.
const largeObject = 1 << 20

// store opens the app's repository for reading. A store sees the packs that
// are there when it is first used, so each operation opens its own.
func (r *Repositories) store(app string) (*filesystem.Storage, error) {
	dir, err := r.existing(app)
	if err != nil {
		return nil, err
	}
	return openStore(osfs.New(dir, osfs.WithBoundOS())), nil
}

func openStore(fs billy.Filesystem) *filesystem.Storage {
	return filesystem.NewStorageWithOptions(fs, cache.NewObjectLRU(16*cache.MiByte),
		filesystem.Options{LargeObjectThreshold: largeObject})
}

// quarantinePrefix begins the name of the directory below objects in which git
// holds a push until it is accepted.
const quarantinePrefix = "tmp_objdir-incoming-"

// validQuarantine reports whether path is what git calls a quarantine of the
// repository in dir.
func validQuarantine(path, dir string) bool {
	objects, err := filepath.EvalSymlinks(filepath.Join(dir, "objects"))
	if err != nil {
		return false
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(path))
	return err == nil && parent == objects && strings.HasPrefix(filepath.Base(path), quarantinePrefix)
}

// receiving counts the pushes each repository receives, to know when what looks
// like a quarantine is nobody's: a git that is killed leaves its own, as large
// as the push.
type receiving struct {
	mu    sync.Mutex
	count map[string]int // by repository
}

func (p *receiving) begin(dir string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count == nil {
		p.count = map[string]int{}
	}
	p.count[dir]++
}

// end removes what is left when the last push of a repository has ended.
func (p *receiving) end(dir string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.count[dir]--; p.count[dir] > 0 {
		return
	}
	delete(p.count, dir)
	// A process of the group that is just being killed may add a file while
	// the rest is removed. Sweep takes what stays nevertheless.
	for range 5 {
		if removeAll(dir, "objects/"+quarantinePrefix+"*", "shallow_*") == nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// union reads objects from the quarantine and then from the repository.
type union struct {
	storer.EncodedObjectStorer
	incoming storer.EncodedObjectStorer
}

// withQuarantine returns the objects of a repository together with those in a
// quarantine.
func withQuarantine(repository storer.EncodedObjectStorer, quarantine string) storer.EncodedObjectStorer {
	incoming := openStore(objectsDir{osfs.New(quarantine, osfs.WithBoundOS())})
	return &union{EncodedObjectStorer: repository, incoming: incoming}
}

func (u *union) EncodedObject(t plumbing.ObjectType, h plumbing.Hash) (plumbing.EncodedObject, error) {
	obj, err := u.incoming.EncodedObject(t, h)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return u.EncodedObjectStorer.EncodedObject(t, h)
	}
	return obj, err
}

func (u *union) HasEncodedObject(h plumbing.Hash) error {
	err := u.incoming.HasEncodedObject(h)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return u.EncodedObjectStorer.HasEncodedObject(h)
	}
	return err
}

func (u *union) EncodedObjectSize(h plumbing.Hash) (int64, error) {
	size, err := u.incoming.EncodedObjectSize(h)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return u.EncodedObjectStorer.EncodedObjectSize(h)
	}
	return size, err
}

// objectsDir makes a quarantine, which is only the objects directory of a
// repository, look like a whole repository to go-git's reader.
type objectsDir struct{ billy.Filesystem }

func (o objectsDir) inside(name string) string {
	name = path.Clean(filepath.ToSlash(name))
	if name == "objects" {
		return "."
	}
	return strings.TrimPrefix(name, "objects/")
}

func (o objectsDir) Open(name string) (billy.File, error) {
	return o.Filesystem.Open(o.inside(name))
}

func (o objectsDir) OpenFile(name string, flag int, perm os.FileMode) (billy.File, error) {
	return o.Filesystem.OpenFile(o.inside(name), flag, perm)
}

func (o objectsDir) Stat(name string) (os.FileInfo, error) {
	return o.Filesystem.Stat(o.inside(name))
}

func (o objectsDir) ReadDir(name string) ([]os.FileInfo, error) {
	return o.Filesystem.ReadDir(o.inside(name))
}
