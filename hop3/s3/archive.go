package s3

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"github.com/abilian/hop3/hop3"
)

// An archive of a bucket is a tar file. Each object is a file objects/<key>,
// whose key is escaped where a file could not have it as its name; the key as
// it is, and all else that S3 keeps beside the bytes, is JSON in the PAX record
// HOP3.object. The last file, inventory.json, counts what is before it: an
// archive without it has been cut off.
const (
	objectRecord  = "HOP3.object"
	inventoryFile = "inventory.json"
)

// maxInventory is more than any inventory.json has, in bytes.
const maxInventory = 1 << 16

// object is what S3 keeps of an object beside its bytes.
type object struct {
	Key string `json:"key"`
	// Headers are those that S3 answers again: Content-Type, Cache-Control.
	Headers  map[string]string `json:"headers,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"` // without x-amz-meta-
	Tags     map[string]string `json:"tags,omitempty"`
}

// keptHeaders are the headers of an object that are part of it.
var keptHeaders = []string{
	"Content-Type", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires",
	"X-Amz-Website-Redirect-Location",
}

// Counter counts objects into an inventory.
type Counter struct{ objects, bytes, digest uint64 }

// Add counts an object.
func (n *Counter) Add(key string, size int64) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", key, size))
	n.objects++
	n.bytes += uint64(size)
	n.digest += binary.BigEndian.Uint64(sum[:])
}

// Inventory returns the numbers of objects and of their bytes, and as "digest"
// one that follows from all keys and sizes, in whatever order they came. ETags
// are not in it: that of an object sent in parts depends on how it was cut.
func (n *Counter) Inventory() hop3.Inventory {
	return hop3.Inventory{"objects": int64(n.objects), "bytes": int64(n.bytes), "digest": int64(n.digest >> 1)}
}

// Count counts what a bucket holds now.
func Count(ctx context.Context, c *minio.Client, bucket string) (hop3.Inventory, error) {
	var n Counter
	for object, err := range Objects(ctx, c, bucket, "") {
		if err != nil {
			return nil, err
		}
		n.Add(object.Key, object.Size)
	}
	return n.Inventory(), ctx.Err()
}

// Dump writes the current objects of a bucket as an archive and returns what is
// in it. Each object is whole; S3 knows no moment for all of them, so of what
// is written while it runs the archive may have some, and not others.
func Dump(ctx context.Context, c *minio.Client, bucket string, w io.Writer) (hop3.Inventory, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	archive := tar.NewWriter(w)
	var n Counter
	for got := range fetch(ctx, c, bucket) {
		if err := got.write(archive, &n); err != nil {
			cancel() // and the others that are under way are given up
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	inventory, err := json.Marshal(n.Inventory())
	if err != nil {
		return nil, err
	}
	if err := archive.WriteHeader(&tar.Header{Name: inventoryFile, Mode: 0o600, Size: int64(len(inventory))}); err != nil {
		return nil, err
	}
	if _, err := archive.Write(inventory); err != nil {
		return nil, err
	}
	return n.Inventory(), archive.Close()
}

// write adds an object to an archive; one that was removed after it had been
// listed is left out.
func (f *fetched) write(archive *tar.Writer, n *Counter) error {
	if Code(f.err) == "NoSuchKey" {
		return nil
	}
	if f.err != nil {
		return f.err
	}
	defer f.body.Close()
	record, err := json.Marshal(f.object)
	if err != nil {
		return err
	}
	err = archive.WriteHeader(&tar.Header{
		Name: entryName(f.object.Key), Mode: 0o600, Size: f.size, ModTime: f.modified,
		Format: tar.FormatPAX, PAXRecords: map[string]string{objectRecord: string(record)},
	})
	if err != nil {
		return err
	}
	if _, err := io.Copy(archive, f.body); err != nil {
		return fmt.Errorf("the object %q: %w", f.object.Key, err)
	}
	n.Add(f.object.Key, f.size)
	return nil
}

// entryName is a name for a key that is safe wherever the archive is unpacked.
func entryName(key string) string {
	parts := strings.Split(key, "/")
	for i, part := range parts {
		switch part {
		case "":
			parts[i] = "%" // is in no name that is escaped
		case ".", "..":
			parts[i] = strings.ReplaceAll(part, ".", "%2E")
		default:
			parts[i] = url.PathEscape(part)
		}
	}
	return "objects/" + strings.Join(parts, "/")
}

// staging is the bucket that an archive for another one is unpacked to.
func staging(bucket string) string {
	return fmt.Sprintf("hop3-restore-%x", sha256.Sum256([]byte(bucket)))[:40]
}

// Restore replaces what a bucket holds by an archive. The archive is unpacked
// to a bucket of its own first, so an archive that is cut off or no archive
// changes nothing; then that is copied, within the server. An error says which
// of the two did not work.
func Restore(ctx context.Context, c *minio.Client, bucket, region string, r io.Reader) error {
	stage := staging(bucket)
	if err := Remove(ctx, c, stage); err != nil { // of a restore that was interrupted
		return fmt.Errorf("the bucket %s of an earlier restore: %w", stage, err)
	}
	if err := Make(ctx, c, stage, region); err != nil {
		return fmt.Errorf("making a bucket to unpack to: %w", err)
	}
	if err := unpack(ctx, c, stage, r); err != nil {
		return errors.Join(err, Remove(context.WithoutCancel(ctx), c, stage))
	}
	if err := replace(ctx, c, stage, bucket); err != nil {
		return hop3.Errorf(hop3.CodeUnavailable, "the bucket %s now holds a part of what was to be restored: %w", bucket, err).
			WithHint("Restore it once more, from the same dump.")
	}
	return Remove(ctx, c, stage)
}

// RemoveStaging removes what an interrupted Restore has left.
func RemoveStaging(ctx context.Context, c *minio.Client, bucket string) error {
	return Remove(ctx, c, staging(bucket))
}

// unpack writes the objects of an archive to a bucket, and checks that it had
// all of them. Small ones are sent side by side.
func unpack(ctx context.Context, c *minio.Client, bucket string, r io.Reader) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(ahead)
	err := unpackEach(ctx, r, func(o object, size int64, body io.Reader) error {
		if size > buffered {
			return put(ctx, c, bucket, o, body, size)
		}
		data := make([]byte, size) // so that sending it can be tried again
		if _, err := io.ReadFull(body, data); err != nil {
			return cutOff(err)
		}
		group.Go(func() error {
			if err := put(ctx, c, bucket, o, bytes.NewReader(data), size); err != nil {
				return fmt.Errorf("the object %q: %w", o.Key, err)
			}
			return nil
		})
		return ctx.Err()
	})
	if sent := group.Wait(); sent != nil {
		return sent // what the other error is about, if there is one
	}
	return err
}

// unpackEach calls send for each object of an archive, which need not have read
// all of body before the next.
func unpackEach(ctx context.Context, r io.Reader, send func(o object, size int64, body io.Reader) error) error {
	archive := tar.NewReader(r)
	var n Counter
	for ctx.Err() == nil {
		header, err := archive.Next()
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			return hop3.Errorf(hop3.CodeInvalid, "the dump is cut off: it ends after %d objects", n.objects)
		}
		if errors.Is(err, tar.ErrHeader) {
			return hop3.Errorf(hop3.CodeInvalid, "this is no dump of a bucket: %w", err)
		}
		if err != nil {
			return err
		}
		if header.Name == inventoryFile {
			if err := checkInventory(archive, n.Inventory()); err != nil {
				return err
			}
			return toEnd(r)
		}
		record, ok := header.PAXRecords[objectRecord]
		var o object
		if !ok || json.Unmarshal([]byte(record), &o) != nil || o.Key == "" {
			return hop3.Errorf(hop3.CodeInvalid, "this is no dump of a bucket: %q in it is no object", header.Name)
		}
		if err := send(o, header.Size, archive); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return hop3.Errorf(hop3.CodeInvalid, "the dump is cut off: it ends in the object %q", o.Key)
			}
			return fmt.Errorf("the object %q: %w", o.Key, err)
		}
		n.Add(o.Key, header.Size)
	}
	return ctx.Err()
}

func checkInventory(r io.Reader, have hop3.Inventory) error {
	text, err := io.ReadAll(io.LimitReader(r, maxInventory))
	if err != nil {
		return err
	}
	var want hop3.Inventory
	if err := json.Unmarshal(text, &want); err != nil {
		return hop3.Errorf(hop3.CodeInvalid, "this is no dump of a bucket: %w", err)
	}
	for name, number := range want {
		if have[name] != number {
			return hop3.Errorf(hop3.CodeInvalid, "the dump is damaged: it should have %d %s, and has %d", number, name, have[name])
		}
	}
	return nil
}

// toEnd reads what is after an archive, which is nothing but zeros: only then
// it is known that whoever sends it has no error.
func toEnd(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// buffered is up to which size, in bytes, an object is held in memory.
const buffered = 1 << 20

func put(ctx context.Context, c *minio.Client, bucket string, o object, r io.Reader, size int64) error {
	_, err := c.PutObject(ctx, bucket, o.Key, r, size, o.putOptions())
	return err
}

// cutOff makes one error of the two that a stream that ends too early has.
func cutOff(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
