package git

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/abilian/hop3/hop3"
)

// fetchedRef keeps what was fetched last, so that it is not collected and the
// next fetch asks for what is new only. Nobody outside sees it.
const fetchedRef = "refs/hop3/source"

// pollSize is how often the size of what is being fetched is looked at.
const pollSize = 250 * time.Millisecond

// Fetch gets the newest commit of a branch of another repository, that of its
// default branch when branch is "", and returns the branch and the commit's
// hash. No reference that a user sees is moved. The first fetch of a repository
// that is empty gets no history. Submodules are not fetched.
//
// Git runs as a limited child: what takes longer, or is larger, than the
// configuration says is ended and removed; see Config.
func (r *Repositories) Fetch(ctx context.Context, app, address, branch string, out hop3.Output) (gotBranch, commit string, err error) {
	dir, err := r.existing(app)
	if err != nil {
		return "", "", err
	}
	done, err := r.beginTransfer()
	if err != nil {
		return "", "", err
	}
	defer done()
	limit := fmt.Errorf("it takes longer than %s", r.cfg.FetchTimeout)
	ctx, cancel := context.WithTimeoutCause(ctx, r.cfg.FetchTimeout, limit)
	defer cancel()
	if err := r.checkPinning(ctx); err != nil {
		return "", "", err
	}
	from, err := r.locate(ctx, address)
	if err != nil {
		return "", "", err
	}
	if branch == "" {
		if branch, err = r.defaultBranch(ctx, from, address); err != nil {
			return "", "", err
		}
	}
	ref, err := refName("refs/heads/" + branch)
	if err != nil {
		return "", "", err
	}
	refs, err := r.Refs(ctx, app)
	if err != nil {
		return "", "", err
	}
	commit, err = r.fetchInto(ctx, dir, from, ref.String(), len(refs) == 0, out)
	if err != nil {
		return "", "", fetchFailure(ctx, address, branch, err)
	}
	if err := r.git(dir, "update-ref", fetchedRef, commit).run(ctx); err != nil {
		return "", "", fmt.Errorf("keeping what was fetched for %s: %w", app, err)
	}
	return branch, commit, nil
}

// fetchFailure words why a fetch failed.
func fetchFailure(ctx context.Context, address, branch string, err error) error {
	where := hop3.RedactRepoURL(address)
	switch {
	case hop3.CodeOf(err) != hop3.CodeInternal:
		return err
	case ctx.Err() != nil:
		return hop3.Errorf(hop3.CodeInvalid, "fetching %s was ended: %w", where, context.Cause(ctx))
	case strings.Contains(err.Error(), "couldn't find remote ref"):
		return hop3.Errorf(hop3.CodeNotFound, "%s has no branch '%s'", where, branch)
	}
	return hop3.Errorf(hop3.CodeInvalid, "fetching %s failed: %s", where, Printable(strings.ReplaceAll(err.Error(), "\n", " ")))
}

// fetchInto fetches a reference into a quarantine, and moves it over when all
// of it is there and sound.
func (r *Repositories) fetchInto(ctx context.Context, dir string, from remote, ref string, shallow bool, out hop3.Output) (string, error) {
	r.receiving.begin(dir)
	defer r.receiving.end(dir)
	quarantine := filepath.Join(dir, "objects", quarantinePrefix+rand.Text())
	if err := os.MkdirAll(filepath.Join(quarantine, "pack"), 0o755); err != nil {
		return "", err
	}
	defer os.RemoveAll(quarantine)
	fetchHead := filepath.Join(dir, "FETCH_HEAD")
	defer os.Remove(fetchHead)

	cmd := r.remoteGit(dir, from, "fetch", "--progress", "--no-tags", "--no-recurse-submodules", "--no-auto-maintenance", "--no-write-commit-graph")
	if shallow {
		cmd.args = append(cmd.args, "--depth=1")
	}
	cmd.args = append(cmd.args, "--", from.url, ref)
	cmd.env = append(cmd.env,
		"GIT_OBJECT_DIRECTORY="+quarantine,
		"GIT_ALTERNATE_OBJECT_DIRECTORIES="+filepath.Join(dir, "objects"))
	said := &progress{out: out}
	cmd.stderr = said
	size, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watched := r.watchSize(size, quarantine, stop)
	err := cmd.run(size)
	stop(nil)
	<-watched
	if cause := context.Cause(size); hop3.CodeOf(cause) == hop3.CodeInvalid {
		return "", cause
	}
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, said.errors())
	}
	content, err := os.ReadFile(fetchHead)
	if err != nil {
		return "", err
	}
	commit, _, _ := strings.Cut(string(content), "\t")
	if treeSize(quarantine) > r.cfg.MaxFetchBytes { // it came too fast to be seen
		return "", r.tooLarge()
	}
	return commit, migrate(quarantine, filepath.Join(dir, "objects"))
}

// Complete gets the history before the first fetch of an app's repository,
// which had none: only then can what branches off before it be pushed. A history
// that is too large stays away, with an error.
func (r *Repositories) Complete(ctx context.Context, app, address, branch string) error {
	dir, err := r.existing(app)
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "shallow")); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	done, err := r.beginTransfer()
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, r.cfg.FetchTimeout)
	defer cancel()
	if _, err := refName("refs/heads/" + branch); err != nil {
		return err
	}
	from, err := r.locate(ctx, address)
	if err != nil {
		return err
	}
	// Not into a quarantine: git says that the history is whole as soon as it
	// has it, and must find it then.
	objects := filepath.Join(dir, "objects")
	size, stop := context.WithCancelCause(ctx)
	watched := r.watchSize(size, objects, stop)
	err = r.remoteGit(dir, from, "fetch", "--quiet", "--unshallow", "--no-tags", "--no-recurse-submodules", "--no-auto-maintenance",
		"--no-write-fetch-head", "--", from.url, "refs/heads/"+branch).run(size)
	stop(nil)
	<-watched
	if err != nil {
		return fmt.Errorf("fetching the history of %s: %w", app, err)
	}
	return nil
}

// remoteGit is a run of git that may talk to one remote in one way, asks
// nobody for anything, and runs nothing that a repository brings.
func (r *Repositories) remoteGit(dir string, from remote, args ...string) *child {
	scheme, _, _ := strings.Cut(from.url, ":")
	settings := append(configArgs(
		"protocol.allow=never",
		"protocol."+scheme+".allow=always",
		"http.followRedirects=false",
		"http.lowSpeedLimit=1",
		"http.lowSpeedTime=60",
		"http.proxy=",
		"credential.helper=",
		"core.hooksPath=/dev/null",
		"core.gitProxy=",
		"fetch.fsckObjects=true",
		"fetch.fsck.badTimezone=ignore",
		"fetch.fsck.missingSpaceBeforeDate=ignore",
		"fetch.fsck.zeroPaddedFilemode=ignore",
		"fetch.unpackLimit=1",
		"fetch.recurseSubmodules=false",
		"fetch.writeCommitGraph=false",
	), from.args...)
	cmd := r.git(dir, append(settings, args...)...)
	cmd.env = append(cmd.env, from.env...)
	return cmd
}

var headLine = regexp.MustCompile(`(?m)^ref: refs/heads/(\S+)\tHEAD$`)

// defaultBranch asks a remote for the branch that clones check out.
func (r *Repositories) defaultBranch(ctx context.Context, from remote, address string) (string, error) {
	var answer, said excerpt
	cmd := r.remoteGit("", from, "ls-remote", "--symref", "--", from.url, "HEAD")
	cmd.stdout, cmd.stderr = &answer, &said
	if err := cmd.run(ctx); err != nil {
		return "", fetchFailure(ctx, address, "HEAD", fmt.Errorf("%w: %s", err, strings.TrimSpace(said.String())))
	}
	m := headLine.FindStringSubmatch(answer.String())
	if m == nil {
		return "", hop3.Errorf(hop3.CodeInvalid, "%s is empty, or has no default branch", hop3.RedactRepoURL(address)).
			WithHint("Name the branch with --branch.")
	}
	return m[1], nil
}

var gitVersion = regexp.MustCompile(`(\d+)\.(\d+)`)

// checkPinning refuses to fetch with a git that resolves names on its own,
// which is before 2.37: a name that was looked at may lead elsewhere by then.
func (r *Repositories) checkPinning(ctx context.Context) error {
	if r.cfg.AllowPrivate {
		return nil
	}
	var answer excerpt
	cmd := r.git("", "version")
	cmd.stdout = &answer
	if err := cmd.run(ctx); err != nil {
		return err
	}
	m := gitVersion.FindStringSubmatch(answer.String())
	if m == nil {
		return fmt.Errorf("git says its version is %q", answer.String())
	}
	major, _ := strconv.Atoi(m[1]) // digits
	minor, _ := strconv.Atoi(m[2])
	if major > 2 || major == 2 && minor >= 37 {
		return nil
	}
	return hop3.Errorf(hop3.CodeUnavailable, "this server's git %s is too old to fetch with: 2.37 is needed", m[0])
}

// watchSize ends a fetch that has become too large.
func (r *Repositories) watchSize(ctx context.Context, dir string, end context.CancelCauseFunc) (done chan struct{}) {
	done = make(chan struct{})
	go func() {
		defer close(done)
		defer r.recovered("watching a fetch")
		ticker := time.NewTicker(pollSize)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				if treeSize(dir) > r.cfg.MaxFetchBytes {
					end(r.tooLarge())
					return
				}
			}
		}
	}()
	return done
}

func (r *Repositories) tooLarge() error {
	return hop3.Errorf(hop3.CodeInvalid, "the repository is larger than %d MB", r.cfg.MaxFetchBytes>>20)
}

// treeSize adds up the files below a directory that changes meanwhile.
func treeSize(dir string) (total int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error { // what is gone has no size
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			total += info.Size()
		}
		return nil
	})
	return total
}

// migrate moves the objects of a quarantine to where they belong. An index
// comes last: only with it git sees a pack, which must then be whole.
func migrate(quarantine, objects string) error {
	var files, indexes []string
	err := filepath.WalkDir(quarantine, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() || strings.HasPrefix(d.Name(), "tmp_"):
		case strings.HasSuffix(name, ".idx"):
			indexes = append(indexes, name)
		case !strings.HasSuffix(name, ".keep"):
			files = append(files, name)
		}
		return nil
	})
	for _, name := range append(files, indexes...) {
		if err != nil {
			break
		}
		var rel string
		if rel, err = filepath.Rel(quarantine, name); err != nil {
			break
		}
		to := filepath.Join(objects, rel)
		if err = os.MkdirAll(filepath.Dir(to), 0o755); err == nil {
			err = os.Rename(name, to)
		}
	}
	if err != nil {
		return fmt.Errorf("storing what was fetched: %w", err)
	}
	return nil
}

// MoveRef moves a reference, unless it is not where the move begins: that is a
// CodeConflict error. Moving it to where it is already is none.
func (r *Repositories) MoveRef(ctx context.Context, app string, move hop3.RefMove) error {
	dir, err := r.existing(app)
	if err != nil {
		return err
	}
	ref, err := refName(move.Name)
	if err != nil {
		return err
	}
	args := []string{"update-ref", ref.String(), move.New, move.Old}
	if move.Delete() {
		args = []string{"update-ref", "-d", ref.String(), move.Old}
	}
	if err := r.git(dir, args...).run(ctx); err != nil {
		if current, e := r.Ref(ctx, app, move.Name); e == nil && current != move.Old {
			return hop3.Errorf(hop3.CodeConflict, "%s was moved meanwhile: %w", move.Name, err)
		}
		return fmt.Errorf("moving %s of %s: %w", move.Name, app, err)
	}
	return nil
}

// Contains reports whether a commit is another one or an ancestor of it, as far
// as the history is here. What is not stored is no ancestor.
func (r *Repositories) Contains(ctx context.Context, app, ancestor, commit string) (bool, error) {
	dir, err := r.existing(app)
	if err != nil {
		return false, err
	}
	for _, hash := range []string{ancestor, commit} {
		if _, err := r.Stored(ctx, app, hash, hop3.Discard); hop3.CodeOf(err) == hop3.CodeNotFound {
			return false, nil
		} else if err != nil {
			return false, err
		}
	}
	err = r.git(dir, "merge-base", "--is-ancestor", ancestor, commit).run(ctx)
	if exit := new(exec.ExitError); errors.As(err, &exit) && exit.ExitCode() == 1 {
		return false, nil
	}
	return err == nil, err
}

// progress passes git's progress on: whole lines, and of a counter that is
// written over again and again its value now and then.
type progress struct {
	out hop3.Output

	mu     sync.Mutex
	line   []byte
	last   time.Time // when a counter was passed on
	failed []string
}

const (
	progressEvery = 3 * time.Second
	maxProgress   = 2048 // of a line
)

// Write takes a piece of what git says.
func (p *progress) Write(data []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for rest := data; len(rest) > 0; {
		i := bytes.IndexAny(rest, "\r\n")
		if i < 0 {
			p.line = append(p.line, rest[:min(len(rest), max(0, maxProgress-len(p.line)))]...)
			break
		}
		p.line = append(p.line, rest[:min(i, max(0, maxProgress-len(p.line)))]...)
		p.tell(Printable(string(p.line)), rest[i] == '\n')
		p.line, rest = p.line[:0], rest[i+1:]
	}
	return len(data), nil
}

func (p *progress) tell(text string, whole bool) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
	case strings.HasPrefix(text, "fatal: ") || strings.HasPrefix(text, "error: ") || strings.HasPrefix(text, "remote: error"):
		if len(p.failed) < 10 {
			p.failed = append(p.failed, text)
		}
	case strings.HasPrefix(text, "From ") || strings.HasPrefix(text, "* branch"):
	case whole || time.Since(p.last) >= progressEvery:
		p.last = time.Now()
		p.out.Log(hop3.LogLine{Text: "       " + text, Level: 1, Time: p.last})
	}
}

func (p *progress) errors() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.failed, " ")
}
