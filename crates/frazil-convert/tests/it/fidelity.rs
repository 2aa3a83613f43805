//! Whatever a tar says survives: synthetic layers, judged by `umoci unpack` of the same image.

use frazil_erofs::FileType;

use crate::images::{Layout, Packing};
use crate::tars::*;
use crate::tools::{run, tool};
use crate::trees::{Trees, assert_same, on_disk};
use crate::workbench::Workbench;

/// Converts layers and asserts that the tree is umoci's; gives the tree.
async fn like_umoci(layers: &[Vec<u8>]) -> Trees {
    let bench = Workbench::new().await;
    let layout = bench.layout("layout", layers, Packing::Gzip);
    let tree = converted(&bench, &layout).await;
    let bundle = bench.dir.path().join("bundle");
    let source = layout.source(Some("t"));
    let image = source.strip_prefix("oci:").unwrap();
    run(tool("umoci", "umoci").args(["unpack", "--image", image]).arg(&bundle));
    assert_same(&on_disk(&bundle.join("rootfs")), &tree);
    tree
}

async fn converted(bench: &Workbench, layout: &Layout) -> Trees {
    bench.convert(layout, "t").await.unwrap();
    bench.image("t").await.tree().await
}

fn has(tree: &Trees, path: impl AsRef<[u8]>) -> bool {
    tree.contains_key(path.as_ref())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_type_of_file_with_its_attributes_survives() {
    let tree = like_umoci(&[archive(&[
        dir("./").mode(0o711).owner(3, 4).mtime(77),
        dir("d").mode(0o3750).owner(1000, 1001),
        file("d/set-id", noise(1, 10_000)).mode(0o6755),
        file("empty", ""),
        file("block", noise(2, 4096)),
        symlink("d/link", "../empty"),
        symlink("broken", "/no/where"),
        Member::new(CHAR_DEVICE, "null").device(1, 3).mode(0o666),
        Member::new(CHAR_DEVICE, "whiteout-like").device(0, 0),
        Member::new(BLOCK_DEVICE, "disk").device(259, 0o777_777),
        Member::new(FIFO, "pipe").mode(0o600),
        hardlink("d/again", "d/set-id"),
        hardlink("link-again", "d/link"),
        hardlink("pipe-again", "pipe"),
    ])])
    .await;
    assert_eq!(tree[&b"disk"[..]].device, Some((259, 0o777_777)));
    assert_eq!(tree[&b"d/set-id"[..]].first, b"d/again");
    assert_eq!(tree[&b"whiteout-like"[..]].file_type, FileType::CharDevice);
}

#[tokio::test(flavor = "multi_thread")]
async fn owners_times_and_names_keep_what_old_headers_cannot_say() {
    let long_path = [b"directory-of-a-long-path".as_slice()].repeat(40).join(&b'/');
    let tree = like_umoci(&[archive(&[
        file("base-256-owner", "").owner(4_000_000_000, 70_000),
        file("pax-owner", "").pax("uid", "3000000000").pax("gid", "65536"),
        file("nanoseconds", "").pax("mtime", "1700000000.123456789"),
        file("before-the-epoch", "").pax("mtime", "-1.5"),
        file(b"not-utf8-\xff\xfe\x80", "x"),
        file([b'n'; 255], "x"),
        file(&long_path, "x"),
        symlink("long-link", [b't'; 300]),
        hardlink("long-hardlink", &long_path),
        file("prefixed", "x").raw(345, b"some/prefix"),
    ])])
    .await;
    assert_eq!(tree[&b"before-the-epoch"[..]].mtime, Some((-2, 500_000_000)));
    assert_eq!(tree[&b"base-256-owner"[..]].owner, (4_000_000_000, 70_000));
    assert!(has(&tree, "some/prefix/prefixed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn extended_attributes_and_capabilities_survive_with_newlines_in_them() {
    // cap_net_bind_service+ep in version 2, with bytes that are a newline and an equals sign in other places.
    let capability = b"\x01\x00\x00\x02\x00\x04\x00\x00\x0a\x00\x00\x00\x00\x00\x00\x00\x3d\x00\x00\x00";
    let value = b"line\n12 size=999\nline=2\x00";
    let tree = like_umoci(&[archive(&[
        file("capable", "x").pax("SCHILY.xattr.security.capability", capability),
        file("newlines", "content").pax("SCHILY.xattr.user.text", value).mode(0o600),
        dir("d").pax("SCHILY.xattr.user.d", "1").pax("SCHILY.xattr.trusted.d", "y"),
        symlink("link", "d").pax("SCHILY.xattr.trusted.l", "1"),
    ])])
    .await;
    assert_eq!(tree[&b"capable"[..]].xattrs, [(b"security.capability".to_vec(), capability.to_vec())]);
    assert_eq!(tree[&b"newlines"[..]].xattrs[0].1, value);
}

#[tokio::test(flavor = "multi_thread")]
async fn libarchives_attributes_survive_and_impossible_ones_are_counted() {
    let bench = Workbench::new().await;
    let conversion = bench
        .layers(&[archive(&[
            file("a", "x").pax("LIBARCHIVE.xattr.user.a%3db", "dmFsdWU").pax("SCHILY.xattr.lustre.lov", "1"),
            symlink("l", "a").pax("SCHILY.xattr.user.never", "1"),
        ])])
        .await
        .unwrap();
    let tree = bench.image("t").await.tree().await;
    assert_eq!(tree[&b"a"[..]].xattrs, [(b"user.a=b".to_vec(), b"value".to_vec())]);
    assert_eq!(tree[&b"l"[..]].xattrs, []);
    assert_eq!(conversion.warnings.dropped_xattrs, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn attributes_that_are_the_hosts_business_are_left_out_as_umoci_does() {
    let tree = like_umoci(&[archive(&[
        dir("d").pax("SCHILY.xattr.trusted.overlay.opaque", "y"),
        file("f", "x").pax("SCHILY.xattr.security.selinux", "label").pax("SCHILY.xattr.user.kept", "1"),
    ])])
    .await;
    assert_eq!(tree[&b"f"[..]].xattrs, [(b"user.kept".to_vec(), b"1".to_vec())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_ways_to_say_file_and_directory_are_understood() {
    let tree = like_umoci(&[archive(&[
        Member::new(b'\0', "old-file").data("old"),
        Member::new(b'\0', "old-directory/").mode(0o755),
        file("old-directory/f", "x"),
        Member::new(b'0', "file-with-slash/").data("x"),
    ])])
    .await;
    assert_eq!(tree[&b"old-directory"[..]].file_type, FileType::Directory);
    assert_eq!(tree[&b"file-with-slash"[..]].file_type, FileType::Regular);
}

#[tokio::test(flavor = "multi_thread")]
async fn contiguous_files_and_global_headers_are_taken_where_umoci_gives_up() {
    let global = Member::new(b'g', "pax_global_header").data(record(b"comment", b"a commit id"));
    let bench = Workbench::new().await;
    bench.layers(&[archive(&[global, Member::new(b'7', "contiguous").data("x")])]).await.unwrap();
    let tree = bench.image("t").await.tree().await;
    assert_eq!(tree[&b"contiguous"[..]].size, 1);
    assert_eq!(tree.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_long_name_says_nothing() {
    let nothing = |flag| Member::new(flag, "././@LongLink").data("\0");
    let bench = Workbench::new().await;
    let members = [nothing(b'L'), nothing(b'K'), Member::new(b'2', "link").link("target")];
    bench.layers(&[archive(&members)]).await.unwrap();
    assert!(bench.image("t").await.tree().await.contains_key(&b"link"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn whiteouts_hide_what_is_below_in_every_order() {
    let base = archive(&[
        dir("d"),
        file("d/lower", "1"),
        dir("d/sub").owner(8, 8),
        file("d/sub/lower", "1"),
        file("f", "1"),
        symlink("s", "d"),
        dir("e"),
        file("e/lower", "1"),
    ]);
    let entry = || file("d/upper", "2");
    let nested = || file("d/sub/upper", "2");
    for upper in [
        vec![file(".wh.f", ""), file(".wh.missing", ""), file("no/such/.wh.dir", "")],
        vec![file(".wh.d", ""), entry(), nested()],
        vec![entry(), nested(), file(".wh.d", "")],
        vec![file("d/.wh..wh..opq", ""), entry(), nested()],
        vec![entry(), nested(), file("d/.wh..wh..opq", "")],
        vec![entry(), file("d/.wh..wh..opq", ""), nested()],
        vec![file("d/.wh.lower", ""), file("d/lower", "again")],
        vec![file("d/lower", "again"), file("d/.wh.lower", "")],
        vec![file("s/.wh.lower", "")],
        vec![file("s/.wh..wh..opq", "")],
        vec![file(".wh.s", "")],
        vec![dir(".wh.e")],
        vec![file("e/.wh.x/y", "")],
        vec![file(".wh..wh..opq", ""), file("only", "1")],
        vec![dir("d").mode(0o700), file("d/.wh..wh..opq", "")],
        vec![file("f/.wh.x", "")],
    ] {
        like_umoci(&[base.clone(), archive(&upper)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_aufs_kept_for_itself_is_nothing() {
    let bench = Workbench::new().await;
    bench
        .layers(&[archive(&[
            dir(".wh..wh.plnk"),
            file(".wh..wh.plnk/12.34", "x"),
            file(".wh..wh.aufs", ""),
            file("f", ""),
        ])])
        .await
        .unwrap();
    let tree = bench.image("t").await.tree().await;
    assert_eq!(tree.keys().map(Vec::as_slice).collect::<Vec<_>>(), [&b""[..], b"f"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_over_entries_replace_or_change_them() {
    let base = archive(&[
        dir("d").pax("SCHILY.xattr.user.old", "1"),
        file("d/f", "1"),
        file("f", "1"),
        hardlink("f-too", "f"),
        symlink("s", "d"),
        dir("unmentioned"),
    ]);
    for upper in [
        vec![dir("d").mode(0o700).owner(5, 5)],
        vec![file("d", "now a file")],
        vec![symlink("d", "elsewhere")],
        vec![dir("f"), file("f/inside", "x")],
        vec![dir("s"), file("s/inside", "x")],
        vec![file("s/through-the-link", "x")],
        vec![file("f", "other name keeps the old")],
        vec![hardlink("f", "d/f")],
        vec![file("f", "1"), file("f", "22"), file("f", "the last one wins")],
        vec![file("d/f/../../f", "cleaned")],
        vec![hardlink("across", "f"), hardlink("via-link", "s/f"), hardlink("absolute", "/d/f")],
        vec![hardlink("f-new", "f-too").mode(0o777).owner(9, 9)],
        vec![Member::new(FIFO, "unmentioned")],
    ] {
        like_umoci(&[base.clone(), archive(&upper)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn links_are_followed_inside_of_the_root_and_never_out_of_it() {
    let base = archive(&[
        dir("usr"),
        dir("usr/bin"),
        symlink("bin", "usr/bin"),
        symlink("absolute", "/usr"),
        symlink("up", "../../../../usr"),
        symlink("chain", "absolute/bin"),
        symlink("dangling", "/made/by/umoci"),
        symlink("odd", "usr/missing/../bin"),
    ]);
    for upper in [
        vec![file("bin/sh", "usr-merged")],
        vec![file("absolute/bin/sh", "x"), file("up/bin/env", "x"), file("chain/more", "x")],
        vec![file("dangling/f", "x")],
        vec![file("odd/f", "x")],
        vec![file("../../outside", "x"), file("/rooted", "x"), file("usr/../../beside", "x")],
        vec![symlink("etc", "/"), file("etc/etc/f", "x")],
        vec![file("implied/a/b/c", "x")],
    ] {
        like_umoci(&[base.clone(), archive(&upper)]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sparse_files_of_every_format_keep_their_data_and_their_holes() {
    for format in [
        "--format=gnu",
        "--format=pax --sparse-version=0.0",
        "--format=pax --sparse-version=0.1",
        "--format=pax --sparse-version=1.0",
    ] {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("sparse");
        let file = std::fs::File::create(&path).unwrap();
        use std::os::unix::fs::FileExt;
        // More extents than one header holds, none of them where another block would start, and a hole at the end.
        for extent in 0..60 {
            file.write_all_at(&noise(extent, 5000), extent * 300_000 + 4096).unwrap();
        }
        file.set_len(60 * 300_000 + 1_000_123).unwrap();
        run(tool("cp", "coreutils").arg(&path).arg(dir.path().join("after")).arg("--sparse=never"));
        run(tool("truncate", "coreutils").args(["-s", "12345"]).arg(dir.path().join("all-hole")));
        let tar = dir.path().join("layer.tar");
        run(tool("tar", "tar")
            .args(format.split(' '))
            .args(["--sparse", "--mtime=@1000", "-C"])
            .arg(dir.path())
            .arg("-cf")
            .arg(&tar)
            .args(["sparse", "all-hole", "after"]));
        let layer = std::fs::read(&tar).unwrap();
        let tree = if format == "--format=gnu" {
            // umoci knows no sparse files of the old format.
            let bench = Workbench::new().await;
            let layout = bench.layout("layout", &[layer], Packing::Gzip);
            converted(&bench, &layout).await
        } else {
            like_umoci(&[layer]).await
        };
        assert_eq!(tree[&b"all-hole"[..]].size, 12_345);
        assert_eq!(tree[&b"sparse"[..]].content, tree[&b"after"[..]].content, "{format}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_of_eight_gib_costs_next_to_nothing() {
    let hole: u64 = 8 << 30;
    let map = format!("0,5,{hole},5");
    let member = file("pit", "beginend!!")
        .pax("GNU.sparse.map", map)
        .pax("GNU.sparse.size", (hole + 5).to_string())
        .pax("GNU.sparse.name", "pit");
    let bench = Workbench::new().await;
    let conversion = bench.layers(&[archive(&[member, file("behind", "x")])]).await.unwrap();
    assert!(conversion.image_bytes > hole);
    assert!(conversion.bytes_written < 100_000, "{} bytes", conversion.bytes_written);
    assert!(conversion.image_chunks < 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_of_gnu_tar_and_python_and_bsd_formats_convert() {
    let dir = tempfile::TempDir::new().unwrap();
    let tree = dir.path().join("tree");
    let deep = tree.join(["a-long-directory-name"; 9].join("/"));
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join("n".repeat(200)), noise(5, 70_000)).unwrap();
    std::os::unix::fs::symlink("t".repeat(200), tree.join("link")).unwrap();
    std::fs::hard_link(deep.join("n".repeat(200)), tree.join("hard")).unwrap();
    for format in ["gnu", "pax", "oldgnu"] {
        let tar = dir.path().join("layer.tar");
        let format = format!("--format={format}");
        run(tool("tar", "tar")
            .args([&format, "--mtime=@1000.5", "-C"])
            .arg(&tree)
            .arg("-cf")
            .arg(&tar)
            .arg("."));
        like_umoci(&[std::fs::read(&tar).unwrap()]).await;
    }
    for format in ["USTAR_FORMAT", "GNU_FORMAT", "PAX_FORMAT"] {
        let tar = dir.path().join("python.tar");
        let script = format!(
            "import tarfile, sys; t = tarfile.open(sys.argv[1], 'w', format=tarfile.{format}); \
             f = lambda i: (setattr(i, 'mtime', 1000), setattr(i, 'uid', 99), i)[2]; \
             t.add(sys.argv[2], 'x', filter=f); t.close()"
        );
        let small = dir.path().join("small");
        std::fs::create_dir_all(small.join("d")).unwrap();
        std::fs::write(small.join("d/f"), noise(6, 9000)).unwrap();
        run(tool("python3", "python3").args(["-c", &script]).arg(&tar).arg(&small));
        like_umoci(&[std::fs::read(&tar).unwrap()]).await;
    }
}
