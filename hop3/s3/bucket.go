package s3

import (
	"context"
	"iter"

	"github.com/minio/minio-go/v7"
)

// Make makes a bucket, unless it is there and ours.
func Make(ctx context.Context, c *minio.Client, bucket, region string) error {
	err := c.MakeBucket(ctx, bucket, minio.MakeBucketOptions{Region: region})
	switch Code(err) {
	case "BucketAlreadyOwnedByYou":
		return nil
	case "BucketAlreadyExists": // what some say of one's own, too
		if there, known := c.BucketExists(ctx, bucket); known == nil && there {
			return nil
		}
	}
	return err
}

// Objects are the current objects of a bucket whose keys begin with prefix, in
// the server's order. The last pair has the error, if there is one.
func Objects(ctx context.Context, c *minio.Client, bucket, prefix string) iter.Seq2[minio.ObjectInfo, error] {
	return list(ctx, c, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true})
}

func list(ctx context.Context, c *minio.Client, bucket string, o minio.ListObjectsOptions) iter.Seq2[minio.ObjectInfo, error] {
	return func(yield func(minio.ObjectInfo, error) bool) {
		for object := range c.ListObjectsIter(ctx, bucket, o) {
			if object.Err != nil {
				yield(minio.ObjectInfo{}, object.Err)
				return
			}
			if !yield(object, nil) {
				return
			}
		}
	}
}

// Clear removes all current objects of a bucket; where it keeps versions, it
// still has these.
func Clear(ctx context.Context, c *minio.Client, bucket string) error {
	return remove(ctx, c, bucket, minio.ListObjectsOptions{Recursive: true})
}

// Remove removes a bucket with all that is in it: objects, their versions, and
// uploads that nobody has completed. One that is not there is no error.
func Remove(ctx context.Context, c *minio.Client, bucket string) error {
	// What is written meanwhile makes it not empty: so again, but not for ever.
	var err error
	for range 3 {
		if err = removeOnce(ctx, c, bucket); Code(err) != "BucketNotEmpty" {
			break
		}
	}
	if Code(err) == "NoSuchBucket" {
		return nil
	}
	return err
}

func removeOnce(ctx context.Context, c *minio.Client, bucket string) error {
	if err := abortUploads(ctx, c, bucket); err != nil {
		return err
	}
	if err := remove(ctx, c, bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}); err != nil {
		if !lacks(err) {
			return err
		}
	}
	// Servers without versions, and those that list only one kind.
	if err := Clear(ctx, c, bucket); err != nil {
		return err
	}
	return c.RemoveBucket(ctx, bucket)
}

// lacks reports whether a server says that it knows no such request.
func lacks(err error) bool {
	switch Code(err) {
	case "NotImplemented", "MethodNotAllowed", "XNotImplemented":
		return true
	}
	return false
}

func abortUploads(ctx context.Context, c *minio.Client, bucket string) error {
	// By the id: of one key there may be several.
	core := minio.Core{Client: c}
	for upload := range c.ListIncompleteUploads(ctx, bucket, "", true) {
		if lacks(upload.Err) {
			return nil
		}
		if upload.Err != nil {
			return upload.Err
		}
		if err := core.AbortMultipartUpload(ctx, bucket, upload.Key, upload.UploadID); err != nil && Code(err) != "NoSuchUpload" {
			return err
		}
	}
	return ctx.Err()
}

// remove removes what is listed, up to a thousand by a request.
func remove(ctx context.Context, c *minio.Client, bucket string, o minio.ListObjectsOptions) error {
	var failed error
	listed := func(yield func(minio.ObjectInfo) bool) {
		for object, err := range list(ctx, c, bucket, o) {
			if err != nil {
				failed = err
				return
			}
			if !yield(object) {
				return
			}
		}
	}
	results, err := c.RemoveObjectsWithIter(ctx, bucket, listed, minio.RemoveObjectsOptions{})
	if err != nil {
		return err
	}
	for result := range results {
		if failed == nil && result.Err != nil {
			failed = result.Err
		}
	}
	return failed
}
