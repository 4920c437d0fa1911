"""Distil the parametric body model ``anny`` into the small file that the cohort draws bodies from.

Run from the repository's root, in an environment with the extra ``bodies`` (the first construction of the
model takes some minutes and 1 GB of cache in ``ANNY_CACHE_DIR``)::

    python scripts/distil_bodies.py registry/dxa/cohort/data/bodies.npz
    python scripts/distil_bodies.py registry/dxa/cohort/data/bodies.npz --check  # measures the file as it is

What is kept: the mean and a principal basis of the rest pose's vertices and joints over bodies of 6 to 85
years, skin weights, triangles and bones, the model's own map from phenotypes to shapes, projected on the
basis, and its distribution of phenotypes by age. Eyes and tongue are left out, the mouth and the eye sockets
are cut away and closed with a lid, so that the surface is one closed piece.

Left and right of the model are nearly, not quite, mirror images. A body is the mean of itself and its mirror
image, plus half their difference; both are affine in the blend weights, each gets a basis of its own, and of
either only the left half and the midline are stored. The differences span six dimensions.

The script prints the error against the model itself on bodies that the basis has not seen, through the
written file and the cohort's own reader, and fails if a vertex or joint is more than 1 mm off: the file that
was there before stays.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anny
import numpy as np
import torch
from anny.face_segmentation import get_face_segmentation_mask
from anny.models.phenotype import phenotype_blendshape_weights
from anny.shape_distribution import SimpleShapeDistribution

from registry.dxa.cohort.bodies import BodyModel, read_body_model
from registry.dxa.cohort.phenotypes import Phenotypes, shape_coefficients
from registry.dxa.cohort.phenotypes import sample_phenotypes as draw_phenotypes

CAVITIES = ["mouth_cavity", "eye_cavity.L", "eye_cavity.R"]
AGES_YEARS = (6.0, 85.0)
PHENOTYPES = ("height", "weight", "muscle", "proportions")
# Phenotypes whose full range the cohort does not use; a narrower one keeps the basis small.
NARROWED = {"height": (0.15, 0.85), "cupsize": (0.5, 0.5), "firmness": (0.5, 0.5)}
JOINTS_PER_VERTEX = 6
CENTIMETRES = 100.0
LARGEST_ERROR_MM = 1.0
SEED = 20220613
BATCH = 20  # bodies at a time: the model also poses them, which takes memory


def sample_phenotypes(model: Any, count: int, generator: torch.Generator) -> torch.Tensor:
    """Phenotypes that cover the range of the cohort evenly, so that the basis is good at its edges."""

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, generator=generator, dtype=model.dtype)

    ages = SimpleShapeDistribution(model).morphological_age_mapping
    ranges = dict.fromkeys(model.phenotype_labels, (0.0, 1.0)) | NARROWED
    columns = {label: uniform(*limits) for label, limits in ranges.items()}
    columns["age"] = ages.morphological_to_anny_age(uniform(*AGES_YEARS)).to(model.dtype)
    columns["gender"] = (columns["gender"] > 0.5).to(model.dtype)
    return torch.stack([columns[label] for label in model.phenotype_labels], dim=1)


def blend_weights(model: Any, phenotypes: torch.Tensor) -> torch.Tensor:
    """Weight of each of the model's blend shapes, shape (bodies, shapes)."""
    return phenotype_blendshape_weights(
        phenotypes,
        model.phenotype_labels,
        model.anchors,
        model.stacked_phenotype_blend_shapes_mask,
        extrapolate=False,
    )


def closed_surface(model: Any) -> tuple[np.ndarray, np.ndarray]:
    """Triangles of the closed outer surface and the vertices they use, in the model's numbering."""
    faces = model.faces.numpy()
    faces = faces[~get_face_segmentation_mask(model, CAVITIES).numpy()]
    faces = faces[_largest_component(faces)]
    lids = [_lid(loop) for loop in _boundary_loops(faces)]
    print(f"closed {len(lids)} openings of {[len(lid) + 2 for lid in lids]} edges")
    faces = np.concatenate([faces, *lids])
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    directed = {(int(a), int(b)) for a, b in edges}
    if len(directed) != len(edges) or any((b, a) not in directed for a, b in directed):
        raise RuntimeError("the surface is not closed; the model's topology has changed")
    return faces, np.unique(faces)


def _largest_component(faces: np.ndarray) -> np.ndarray:
    label = np.arange(faces.max() + 1)
    while True:  # lowest label of each face spreads until nothing changes
        lowest = label[faces].min(axis=1)
        spread = label.copy()
        for corner in range(3):
            np.minimum.at(spread, faces[:, corner], lowest)
        spread = spread[spread]
        if np.array_equal(spread, label):
            break
        label = spread
    component = label[faces[:, 0]]
    return np.asarray(component == np.bincount(component).argmax())


def _boundary_loops(faces: np.ndarray) -> list[list[int]]:
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    directed = {(int(a), int(b)) for a, b in edges}
    following = {a: b for a, b in directed if (b, a) not in directed}
    loops = []
    while following:
        start, current = following.popitem()
        loop = [start]
        while current != start:
            loop.append(current)
            current = following.pop(current)
        loops.append(loop)
    return loops


def _lid(loop: list[int]) -> np.ndarray:
    """Zip a loop shut from one end to the other, facing as the surface around it."""
    low, high, triangles = 0, len(loop) - 1, []
    while high - low >= 2:
        triangles.append([loop[low], loop[high], loop[low + 1]])
        low += 1
        if high - low >= 2:
            triangles.append([loop[low], loop[high], loop[high - 1]])
            high -= 1
    return np.array(triangles)


def mirror_images(model: Any, vertices: np.ndarray) -> np.ndarray:
    """Index of each point's mirror image among the vertices, then the joints."""
    template = model.template_vertices.numpy()[vertices]
    place = {tuple(point): index for index, point in enumerate(np.round(template * 1e6).astype(int) + 0)}
    flipped = np.round(template * [-1, 1, 1] * 1e6).astype(int) + 0
    names = list(model.bone_labels)
    opposite = [name[:-1] + {"L": "R", "R": "L"}[name[-1]] if name[-2:-1] == "." else name for name in names]
    joints = [len(template) + names.index(name) for name in opposite]
    return np.array([place[tuple(point)] for point in flipped] + joints)


def joint_weights(model: Any, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bones and weights of each vertex, strongest first."""
    weights = model.vertex_bone_weights.numpy()[vertices]
    bones = model.vertex_bone_indices.numpy()[vertices]
    strongest = np.argsort(-weights, axis=1, kind="stable")[:, :JOINTS_PER_VERTEX]
    weights = np.take_along_axis(weights, strongest, axis=1)
    return np.take_along_axis(bones, strongest, axis=1).astype(np.uint8), weights / weights.sum(
        1, keepdims=True
    )


def distribution_tables(model: Any) -> dict[str, np.ndarray]:
    """Beta distributions of the phenotypes by age and sex, and the map from years to the model's age."""
    distribution = SimpleShapeDistribution(model)
    ages = distribution.morphological_age_mapping
    tables = {
        "age_anchor_model": ages.anny_age_anchors.numpy(),
        "age_anchor_years": ages.morphological_age_anchors.numpy(),
    }
    for sex, ours in (("boys", "male"), ("girls", "female")):
        for name in PHENOTYPES:
            source = getattr(distribution, f"{sex}_conditional_{name}_distribution")
            tables[f"beta_{ours}_{name}"] = torch.stack(
                [source.age_anchors, source.alpha_anchors, source.beta_anchors]
            ).numpy()
    return tables


def mirrored(points: Any, mirror: np.ndarray) -> Any:
    """Mirror image of each body, shape (bodies, points, 3)."""
    image = points[:, mirror]
    image[..., 0] *= -1
    return image


def principal_basis(points: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Basis, shape (rank, points * 3), and root mean square of the coefficients along it."""
    _, spread, basis = torch.linalg.svd(points, full_matrices=False)
    return basis[:rank], spread[:rank] / math.sqrt(len(points))


def rest_points(model: Any, phenotypes: torch.Tensor, vertices: np.ndarray) -> np.ndarray:
    """Vertices and joints of the model itself in its rest pose, in centimetres, shape (bodies, points, 3)."""
    output = model(phenotype_kwargs=phenotypes)
    points = torch.cat([output["rest_vertices"][:, vertices], output["rest_bone_heads"]], dim=1)
    return CENTIMETRES * points.numpy()


def as_the_model_takes_them(model: Any, bodies: BodyModel, people: list[Phenotypes]) -> torch.Tensor:
    """Phenotypes of the cohort's people, as the body model's own."""
    ages, years = bodies.distributions["age_anchor_model"], bodies.distributions["age_anchor_years"]
    rows = []
    for person in people:
        values = dict.fromkeys(model.phenotype_labels, 0.5) | dict(
            gender=float(person.sex == "female"),
            age=float(np.interp(person.age_years, years, ages)),
            **{name: getattr(person, name) for name in PHENOTYPES},
        )
        values |= dict(zip(("african", "asian", "caucasian"), person.ancestry, strict=True))
        rows.append([values[label] for label in model.phenotype_labels])
    return torch.tensor(rows, dtype=model.dtype)


def largest_error_mm(name: str, bodies: BodyModel, coefficients: np.ndarray, truth_of: Any) -> float:
    """Print how far bodies are from the model's own, and return the distance of the worst point.

    ``truth_of`` maps a slice of the bodies to the model's points.
    """
    error, asymmetry = [], []
    for start in range(0, len(coefficients), BATCH):
        batch = slice(start, start + BATCH)
        rest = [bodies.rest(row) for row in coefficients[batch]]
        rebuilt = np.stack([np.concatenate([body.vertices_cm, body.joints_cm]) for body in rest])
        truth = truth_of(batch)
        error.append(10 * np.linalg.norm(rebuilt - truth, axis=-1))
        asymmetry.append(10 * np.linalg.norm(truth - mirrored(truth, bodies.mirror_points), axis=-1) / 2)
    error_mm, asymmetry_mm = np.concatenate(error), np.concatenate(asymmetry)
    for part, points in (("vertices", slice(0, bodies.vertices)), ("joints", slice(bodies.vertices, None))):
        off, apart = error_mm[:, points], asymmetry_mm[:, points].max(axis=1)
        above = np.count_nonzero(off.max(axis=0) > LARGEST_ERROR_MM)
        print(
            f"{name}, {part}: mean {off.mean():.4f}, max {off.max():.3f} mm, "
            f"{above} above {LARGEST_ERROR_MM:g} mm; "
            f"the model's own asymmetry: median {np.median(apart):.3f}, max {apart.max():.3f} mm"
        )
    return float(error_mm.max())


def measure(model: Any, path: Path, vertices: np.ndarray, count: int) -> float:
    """Largest error of a file, in mm, on bodies that it was not made from."""
    with path.open("rb") as stream:
        bodies = read_body_model(stream)
    even = sample_phenotypes(model, count, torch.Generator().manual_seed(SEED + 1))
    coefficients = blend_weights(model, even).numpy() @ bodies.shape_from_blend + bodies.shape_offset
    largest = largest_error_mm(
        f"{count} held-out bodies",
        bodies,
        coefficients,
        lambda batch: rest_points(model, even[batch], vertices),
    )

    # The cohort's people are heavier than the model's heaviest: its shapes are continued in a straight line.
    random = np.random.default_rng(SEED + 2)
    people = [
        draw_phenotypes(bodies, ("female", "male")[number % 2], random.uniform(*AGES_YEARS), random)
        for number in range(count)
    ]
    coefficients = np.stack([shape_coefficients(bodies, person) for person in people])
    model.extrapolate_phenotypes = True
    phenotypes = as_the_model_takes_them(model, bodies, people)
    return max(
        largest,
        largest_error_mm(
            f"{count} people of the cohort",
            bodies,
            coefficients,
            lambda batch: rest_points(model, phenotypes[batch], vertices),
        ),
    )


def distil(
    model: Any, faces: np.ndarray, vertices: np.ndarray, options: argparse.Namespace, path: Path
) -> None:
    """Write the file."""
    renumbered = np.zeros(faces.max() + 1, dtype=np.uint16)
    renumbered[vertices] = np.arange(len(vertices))

    # Vertices and joints are affine in the blend weights: one row of (vertices + joints) * 3 per blend shape.
    shapes = torch.cat([model.blendshapes[:, vertices], model.bone_heads_blendshapes], dim=1)
    template = torch.cat([model.template_vertices[vertices], model.template_bone_heads])
    shapes, template = CENTIMETRES * shapes.flatten(1), CENTIMETRES * template.flatten()

    generator = torch.Generator().manual_seed(SEED)
    weights = blend_weights(model, sample_phenotypes(model, options.bodies, generator))
    mirror = mirror_images(model, vertices)
    stored = np.flatnonzero(mirror >= np.arange(len(mirror)))  # one of each pair, and the midline
    points = (weights @ shapes + template).reshape(options.bodies, -1, 3)
    image = mirrored(points, mirror)
    symmetric, difference = ((points + image) / 2).flatten(1), ((points - image) / 2).flatten(1)
    mean = symmetric.mean(dim=0)
    bases = {
        "basis": principal_basis(symmetric - mean, options.rank),
        "asymmetric_basis": principal_basis(difference, options.asymmetric_rank),
    }
    basis, scale = (torch.cat(parts) for parts in zip(*bases.values(), strict=True))
    bones, bone_weights = joint_weights(model, vertices)
    np.savez_compressed(
        path,
        mean_cm=mean.numpy().reshape(-1, 3)[stored].astype(np.float32),
        **{
            f"{name}_cm": (basis * scale[:, None])
            .numpy()
            .reshape(len(basis), -1, 3)[:, stored]
            .astype(np.float16)
            for name, (basis, scale) in bases.items()
        },
        stored_points=stored.astype(np.uint16),
        mirror_points=mirror.astype(np.uint16),
        shape_from_blend=((shapes @ basis.T) / scale).numpy().astype(np.float32),
        shape_offset=(((template - mean) @ basis.T) / scale).numpy().astype(np.float32),
        blend_mask=model.stacked_phenotype_blend_shapes_mask.numpy().astype(np.uint8),
        faces=renumbered[faces],
        bone_names=np.array(model.bone_labels),
        bone_parents=np.array(model.bone_parents, dtype=np.int16),
        skin_bones=bones,
        skin_weights=bone_weights.astype(np.float16),
        **{name: table.astype(np.float32) for name, table in distribution_tables(model).items()},
    )
    print(f"{len(vertices)} vertices, {len(faces)} triangles, {path.stat().st_size / 1e6:.2f} MB")


def replace_if_exact(output: Path, write: Callable[[Path], None], error_mm: Callable[[Path], float]) -> None:
    """Write a file beside `output`, measure it, and only then let it take its place."""
    beside = output.with_name(f".{output.stem}.partial.npz")
    try:
        write(beside)
        require_exact(error_mm(beside))
        beside.replace(output)
    finally:
        beside.unlink(missing_ok=True)


def require_exact(error_mm: float) -> None:
    """End with an error where bodies are too far from the model's own."""
    if not error_mm <= LARGEST_ERROR_MM:  # nor where the error is no number
        sys.exit(f"an error above {LARGEST_ERROR_MM:g} mm: raise --rank or --asymmetric-rank")


def main() -> None:
    """Distil, measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path)
    parser.add_argument("--check", action="store_true", help="measure the file, do not write it")
    parser.add_argument("--bodies", type=int, default=1000, help="bodies that make the basis")
    parser.add_argument("--held-out", type=int, default=1000, help="bodies that measure the error, twice")
    parser.add_argument("--rank", type=int, default=128)
    parser.add_argument("--asymmetric-rank", type=int, default=6)
    options = parser.parse_args()
    torch.set_num_threads(2)

    model = anny.Anny(
        topology="anny-noeyes-notongue",
        phenotypes="all",
        skinning_method="lbs",
        phenotype_blendshapes="original",
    ).to(dtype=torch.float64)
    faces, vertices = closed_surface(model)

    def error_mm(path: Path) -> float:
        return measure(model, path, vertices, options.held_out)

    if options.check:
        require_exact(error_mm(options.output))
        return
    replace_if_exact(options.output, lambda path: distil(model, faces, vertices, options, path), error_mm)


if __name__ == "__main__":
    main()
