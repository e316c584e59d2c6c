package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/wechatws/wechatws/fleet"
)

// A storageLine is fleet.StorageStatus as JSON. The names of its fields do not change.
type storageLine struct {
	Stream   string  `json:"stream"`
	Bytes    uint64  `json:"bytes"`
	MaxBytes int64   `json:"max_bytes"` // -1: unlimited
	Messages uint64  `json:"messages"`
	Age      float64 `json:"age_seconds"`
	MaxAge   float64 `json:"max_age_seconds,omitempty"` // absent: unlimited
}

// storage lists the fleet's streams and buckets.
func (s *settings) storage() *cobra.Command {
	return &cobra.Command{
		Use: "storage", Short: "list the fleet's streams and buckets in NATS, and how full they are", Args: exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: s.run(func(ctx context.Context, c *cobra.Command, f *fleet.Fleet, _ []string) error {
			list, err := f.Control().Storage(ctx)
			if err != nil {
				return err
			}
			t := table{}
			if !s.json {
				t = newTable(c.OutOrStdout(), "STREAM", "MESSAGES", "BYTES", "OF", "FULL", "AGE", "KEPT FOR")
				defer t.Flush()
			}
			for _, one := range list {
				if s.json {
					line := storageLine{one.Stream, one.Bytes, one.MaxBytes, one.Messages, one.Age.Seconds(), one.MaxAge.Seconds()}
					if err := writeJSON(c.OutOrStdout(), line); err != nil {
						return err
					}
					continue
				}
				t.row(storageRow(one)...)
			}
			return nil
		}),
	}
}

func storageRow(s fleet.StorageStatus) []string {
	row := []string{s.Stream, strconv.FormatUint(s.Messages, 10), strconv.FormatUint(s.Bytes, 10), "", "", "", ""}
	if s.MaxBytes > 0 {
		row[3] = strconv.FormatInt(s.MaxBytes, 10)
		row[4] = fmt.Sprintf("%.0f%%", 100*float64(s.Bytes)/float64(s.MaxBytes))
	}
	if s.Messages > 0 {
		row[5] = s.Age.Round(time.Second).String()
	}
	if s.MaxAge > 0 {
		row[6] = s.MaxAge.String()
	}
	return row
}
