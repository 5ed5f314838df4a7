package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/abilian/hop3/hop3/api"
	"github.com/abilian/hop3/hop3/client"
)

// configFiles are the files in which an app says something of itself.
var configFiles = []string{"hop3/hop3.toml", "hop3.toml", "hop3/Procfile", "Procfile", "hop3/app.json", "app.json", "SCALING"}

// maxConfigFile is more than the server reads of one.
const maxConfigFile = 1 << 20

// configCheck has the server say what it makes of the files of a directory, or
// of one file: what it accepts is the server's to know.
func configCheck(ctx context.Context, p *program, args []string) error {
	place, err := p.place(args)
	if err != nil {
		return err
	}
	files := map[string][]byte{}
	if place.IsDir() {
		for _, name := range configFiles {
			text, err := readConfig(filepath.Join(place.path, filepath.FromSlash(name)))
			if err == nil {
				files[name] = text
			} else if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	} else {
		text, err := readConfig(place.path)
		if err != nil {
			return err
		}
		files[filepath.Base(place.path)] = text
	}
	if len(files) == 0 {
		p.printer.item(api.Text("There is no hop3.toml, Procfile or app.json in %s: the toolchain that recognises the app says what runs.", place.path), nil)
		return nil
	}
	res, err := p.askConfig(ctx, []string{"config", "check"}, files)
	if err != nil {
		return err
	}
	return p.show(res)
}

// configMigrate writes a hop3.toml beside a Procfile that says the same.
func configMigrate(ctx context.Context, p *program, args []string) error {
	place, err := p.place(args)
	if err != nil {
		return err
	}
	procfile := place.path
	if place.IsDir() {
		procfile = filepath.Join(procfile, "Procfile")
	}
	text, err := readConfig(procfile)
	if errors.Is(err, fs.ErrNotExist) {
		return exitf(api.ExitUsage, "There is no file %s. Name the Procfile, or the directory it is in.", procfile)
	}
	if err != nil {
		return err
	}
	res, err := p.askConfig(ctx, []string{"config", "migrate", "procfile"}, map[string][]byte{"Procfile": text})
	if err != nil {
		return err
	}
	if p.flags.dryRun || len(res.Items) != 1 || res.Items[0].T != api.KindBlob {
		return p.show(res)
	}
	encoded, _ := res.Items[0].Data.(string)
	migrated, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return fmt.Errorf("the server's answer makes no sense: %w", err)
	}
	target := filepath.Join(filepath.Dir(procfile), "hop3.toml")
	f, err := os.OpenFile(target, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return exitf(api.ExitConflict, "%s is there already, and is left as it is. With --dry-run the other one is shown, to copy from.", target)
	}
	if err != nil {
		return err
	}
	if _, err := f.Write(migrated); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	p.printer.item(api.Success("Wrote %s. The app needs its Procfile no more.", target), nil)
	return nil
}

// place is a file or directory that was named.
type place struct {
	os.FileInfo
	path string
}

// place is what the arguments name: the directory of the call when nothing.
func (p *program) place(args []string) (place, error) {
	path := p.dir
	if len(args) > 0 {
		path, args = args[0], args[1:]
	}
	if err := noMore(args); err != nil {
		return place{}, err
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.dir, path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return place{}, exitf(api.ExitUsage, "There is no file or directory %s.", path)
	}
	return place{info, path}, nil
}

// readConfig reads a file, or enough of it for the server to see that it is too
// large.
func readConfig(name string) (text []byte, err error) {
	f, err := os.Open(name)
	if errors.Is(err, syscall.ENOTDIR) { // a file that is called hop3
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, maxConfigFile))
}

// askConfig asks the server about files.
func (p *program) askConfig(ctx context.Context, words []string, files map[string][]byte) (client.Result, error) {
	packed, err := packTexts(files)
	if err != nil {
		return client.Result{}, err
	}
	c, err := p.connect()
	if err != nil {
		return client.Result{}, err
	}
	return c.Call(ctx, words, api.Extra{Verbosity: api.Verbosity(p.flags.verbosity)},
		&client.Archive{Content: bytes.NewReader(packed), Size: int64(len(packed))})
}

// packTexts packs a few small files, which need no file of their own.
func packTexts(files map[string][]byte) ([]byte, error) {
	var b bytes.Buffer
	zipped := gzip.NewWriter(&b)
	out := tar.NewWriter(zipped)
	for name, text := range files {
		if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(text)), Mode: 0o644}); err != nil {
			return nil, err
		}
		if _, err := out.Write(text); err != nil {
			return nil, err
		}
	}
	err := errors.Join(out.Close(), zipped.Close())
	return b.Bytes(), err
}
