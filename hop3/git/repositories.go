package git

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/storer"

	"github.com/abilian/hop3/hop3"
)

// The names of repositories half made and half deleted, which Sweep removes.
const (
	newPrefix     = "git.new-"
	removedPrefix = "git.removed-"
)

// Ensure makes the app's repository when there is none. Calls at the same time
// make one.
func (r *Repositories) Ensure(ctx context.Context, app string) error {
	dir, err := r.dir(app)
	if err != nil {
		return err
	}
	if r.Exists(app) {
		return nil
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("making the repository of %s: %w", app, err)
	}
	// Made beside and renamed, a repository is complete or not there.
	tmp, err := os.MkdirTemp(parent, newPrefix)
	if err != nil {
		return fmt.Errorf("making the repository of %s: %w", app, err)
	}
	defer os.RemoveAll(tmp)
	cmd := r.git("", "init", "--quiet", "--bare", "--template=", tmp)
	cmd.args = append([]string{"-c", "init.defaultBranch=main"}, cmd.args...)
	if err := cmd.run(ctx); err != nil {
		return fmt.Errorf("making the repository of %s: %w", app, err)
	}
	if err := os.Rename(tmp, dir); err != nil && !r.Exists(app) {
		return fmt.Errorf("making the repository of %s: %w", app, err)
	}
	return nil
}

// Exists reports whether the app has a repository.
func (r *Repositories) Exists(app string) bool {
	_, err := r.existing(app)
	return err == nil
}

// Remove deletes the app's repository. Removing what is not there is no error.
func (r *Repositories) Remove(_ context.Context, app string) error {
	dir, err := r.dir(app)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), removedPrefix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("removing the repository of %s: %w", app, err)
	}
	err = os.Rename(dir, filepath.Join(tmp, "git"))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err := errors.Join(err, os.RemoveAll(tmp)); err != nil {
		return fmt.Errorf("removing the repository of %s: %w", app, err)
	}
	return nil
}

// Ref returns the hash a reference ("refs/heads/main", "HEAD") points to, ""
// when there is none.
func (r *Repositories) Ref(_ context.Context, app, name string) (string, error) {
	store, err := r.store(app)
	if err != nil {
		return "", err
	}
	ref, err := refName(name)
	if err != nil {
		return "", err
	}
	found, err := storer.ResolveReference(store, ref)
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading %s of %s: %w", name, app, err)
	}
	return found.Hash().String(), nil
}

// Refs returns every reference but HEAD with the hash it points to.
func (r *Repositories) Refs(_ context.Context, app string) (map[string]string, error) {
	store, err := r.store(app)
	if err != nil {
		return nil, err
	}
	iter, err := store.IterReferences()
	if err != nil {
		return nil, fmt.Errorf("listing the references of %s: %w", app, err)
	}
	refs := map[string]string{}
	err = iter.ForEach(func(ref *plumbing.Reference) error {
		if ref.Type() == plumbing.HashReference && ref.Name() != plumbing.HEAD {
			refs[ref.Name().String()] = ref.Hash().String()
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing the references of %s: %w", app, err)
	}
	return refs, nil
}

// SetHead makes branch the one that clones check out. It need not exist yet.
func (r *Repositories) SetHead(ctx context.Context, app, branch string) error {
	dir, err := r.existing(app)
	if err != nil {
		return err
	}
	ref, err := refName("refs/heads/" + branch)
	if err != nil {
		return err
	}
	// go-git would truncate HEAD in place; git replaces it.
	if err := r.git(dir, "symbolic-ref", "HEAD", ref.String()).run(ctx); err != nil {
		return fmt.Errorf("setting HEAD of %s: %w", app, err)
	}
	return nil
}

// Tidy packs the repository's objects when there are many loose ones or many
// packs, and does nothing otherwise. Receiving never does it by itself: nobody
// should wait for it.
func (r *Repositories) Tidy(ctx context.Context, app string) error {
	dir, err := r.existing(app)
	if err != nil {
		return err
	}
	cmd := r.git(dir, configArgs("gc.auto=2000", "gc.autoPackLimit=50", "gc.autoDetach=false")...)
	cmd.args = append(cmd.args, "gc", "--auto", "--quiet")
	if err := cmd.run(ctx); err != nil {
		return fmt.Errorf("tidying the repository of %s: %w", app, err)
	}
	return nil
}

// refName checks a name before it becomes a path below the repository.
func refName(name string) (plumbing.ReferenceName, error) {
	ref := plumbing.ReferenceName(name)
	if ref == plumbing.HEAD {
		return ref, nil
	}
	if ref.Validate() != nil || len(name) < 6 || name[:5] != "refs/" {
		return "", hop3.Errorf(hop3.CodeInvalid, "%q is not the name of a git reference", Printable(name))
	}
	return ref, nil
}
