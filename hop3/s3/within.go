package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"io"

	"github.com/minio/minio-go/v7"

	"github.com/abilian/hop3/hop3"
)

// RestoreWithin is Restore with a key that opens this bucket only, so that
// there is nowhere to unpack to. An archive that is cut off leaves the bucket
// with a part of it, beside what it held; what the archive has not is removed
// at the end. It needs 16 bytes of memory or so for each object.
func RestoreWithin(ctx context.Context, c *minio.Client, bucket string, r io.Reader) error {
	keys := map[uint64]bool{}
	err := unpackEach(ctx, r, func(o object, size int64, body io.Reader) error {
		if size <= buffered {
			data := make([]byte, size) // so that sending it can be tried again
			if _, err := io.ReadFull(body, data); err != nil {
				return cutOff(err)
			}
			body = bytes.NewReader(data)
		}
		keys[hash(o.Key)] = true
		return put(ctx, c, bucket, o, body, size)
	})
	if err == nil {
		err = removeOthers(ctx, c, bucket, keys)
	}
	if err != nil && len(keys) > 0 {
		return hop3.Errorf(codeOf(err), "the bucket %s now holds a part of what was to be restored, beside what it held: %w", bucket, err).
			WithHint("Restore it once more, from a dump that is whole.")
	}
	return err
}

func hash(key string) uint64 {
	sum := sha256.Sum256([]byte(key))
	return binary.BigEndian.Uint64(sum[:])
}

func removeOthers(ctx context.Context, c *minio.Client, bucket string, keys map[uint64]bool) error {
	for listed, err := range Objects(ctx, c, bucket, "") {
		if err != nil {
			return err
		}
		if keys[hash(listed.Key)] {
			continue
		}
		if err := c.RemoveObject(ctx, bucket, listed.Key, minio.RemoveObjectOptions{}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// codeOf is the code of an error that is one of ours, or else the server's.
func codeOf(err error) hop3.Code {
	if code := hop3.CodeOf(err); code != hop3.CodeInternal {
		return code
	}
	return hop3.CodeUnavailable
}
